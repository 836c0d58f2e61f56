-- Requests of clients that wait for a user who answers elsewhere: devices (RFC 8628) and CIBA. Codes are stored as
-- SHA-256 only. A client that asks faster than it may is told so and must pause longer from then on.

create table device_codes (
    device_code_hash    bytea primary key,
    user_code_hash      bytea not null unique,
    client_id           text not null,
    scopes              text[] not null,
    audience            text[] not null,
    status              text not null default 'pending' check (status in ('pending', 'approved', 'denied')),
    -- What the user allowed.
    grant_id            uuid references grants (id) on delete cascade,
    interval_secs       integer not null,
    last_polled_at      timestamptz,
    created_at          timestamptz not null,
    expires_at          timestamptz not null
);
create index device_codes_by_grant on device_codes (grant_id);
create index device_codes_by_expiry on device_codes (expires_at);

create table ciba_requests (
    -- Names the request to the user who is asked.
    id                  uuid primary key,
    auth_req_id_hash    bytea not null unique,
    client_id           text not null,
    user_id             uuid not null references users (id) on delete cascade,
    scopes              text[] not null,
    audience            text[] not null,
    binding_message     text,
    -- Of a client that is pinged: its notification token and the auth_req_id, sealed with the master key.
    sealed              text,
    status              text not null default 'pending' check (status in ('pending', 'approved', 'denied')),
    grant_id            uuid references grants (id) on delete cascade,
    interval_secs       integer not null,
    last_polled_at      timestamptz,
    created_at          timestamptz not null,
    expires_at          timestamptz not null
);
create index ciba_requests_by_user on ciba_requests (user_id);
create index ciba_requests_by_grant on ciba_requests (grant_id);
create index ciba_requests_by_expiry on ciba_requests (expires_at);
