-- Which clients got something in which session, and what is still to be said to clients.

-- Each of these is told when the session ends (OIDC Front-Channel and Back-Channel Logout 1.0).
create table session_clients (
    sid                 uuid not null references sessions (sid) on delete cascade,
    client_id           text not null,
    primary key (sid, client_id)
);

-- Requests to clients that must arrive though a pod dies or the client is down for a while. A row is written in the
-- statement that makes it necessary, belongs to the pod that moved its due_at, and is deleted once it was delivered or
-- given up.
create table outbox (
    id                  uuid primary key,
    -- Whose it is, should the database have been another tenant's before.
    tenant_id           uuid not null,
    kind                text not null check (kind in ('logout', 'ciba_ping')),
    client_id           text not null,
    -- Whom it is about; no reference, because a user may be deleted before the client was told.
    user_id             uuid not null,
    -- Of a logout: the session that ended.
    sid                 uuid,
    -- Of a ping: its secrets, sealed with the master key.
    sealed              text,
    attempts            integer not null default 0,
    created_at          timestamptz not null,
    due_at              timestamptz not null
);
create index outbox_by_due on outbox (tenant_id, due_at);
