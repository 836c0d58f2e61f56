-- What becomes of tokens after they were issued.

-- JWT access tokens that were revoked before their end. An entry lives as long as its token would have.
create table denied_tokens (
    jti                 uuid primary key,
    expires_at          timestamptz not null,
    -- By this pods ask for what is new: every transaction below the xmin of a snapshot has ended.
    denied_by           xid8 not null default pg_current_xact_id()
);
create index denied_tokens_by_transaction on denied_tokens (denied_by);
create index denied_tokens_by_expiry on denied_tokens (expires_at);

-- Opaque access tokens, and what a JWT in their place would say.
create table access_tokens (
    token_hash          bytea primary key,
    -- Null: of a client on its own behalf.
    grant_id            uuid references grants (id) on delete cascade,
    client_id           text not null,
    claims              jsonb not null,
    expires_at          timestamptz not null
);
create index access_tokens_by_grant on access_tokens (grant_id);
create index access_tokens_by_expiry on access_tokens (expires_at);

-- The token that replaced this one, sealed with a key that only the holder of this one has; null: not to be had again.
alter table refresh_tokens add column successor text;
