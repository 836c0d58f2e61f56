-- Authorization requests that say more, and those that are pushed beforehand.

-- What the request asked for beside its scope, kept as long as its grant; null: nothing.
alter table grants add column requested_claims jsonb;         -- the claims parameter (OIDC Core §5.5)
alter table grants add column authorization_details jsonb;    -- RFC 9396

-- The session that the user chose within the interaction (prompt=select_account asks for it).
alter table interactions add column selected_sid uuid;

-- Requests that clients pushed (RFC 9126), until they are used once.
create table pushed_requests (
    uri_hash            bytea primary key,
    client_id           text not null,
    -- The validated authorization request.
    request             jsonb not null,
    created_at          timestamptz not null,
    expires_at          timestamptz not null
);
create index pushed_requests_by_expiry on pushed_requests (expires_at);
