-- A tenant's people and what they granted. Secrets (session ids, codes, tokens) are stored as SHA-256 only.
-- Times are the data plane's clock, passed in; no column defaults to now().

create table users (
    id                  uuid primary key,
    email               text not null,
    -- Trimmed and lower-cased: what sign-in compares.
    email_normalized    text not null unique,
    email_verified      boolean not null default false,
    -- argon2id, PHC string; null: the user cannot sign in with a password.
    password_hash       text,
    status              text not null default 'active' check (status in ('active', 'disabled')),
    -- OIDC Core §5.1 claims beside sub and email, as one object.
    claims              jsonb not null default '{}',
    created_at          timestamptz not null,
    updated_at          timestamptz not null
);

create table sessions (
    id_hash             bytea primary key,
    -- The public session id, the `sid` of tokens.
    sid                 uuid not null unique,
    user_id             uuid not null references users (id) on delete cascade,
    auth_time           timestamptz not null,
    amr                 text[] not null,
    last_seen_at        timestamptz not null,
    expires_at          timestamptz not null
);
create index sessions_by_user on sessions (user_id);
create index sessions_by_expiry on sessions (expires_at);

-- One authorization request on its way through sign-in and consent.
create table interactions (
    id_hash             bytea primary key,
    -- SHA-256 of the browser's binding cookie: nobody else can finish this interaction.
    browser_hash        bytea not null,
    -- The validated authorization request.
    request             jsonb not null,
    -- Set by signing in within this interaction (prompt=login and max_age ask for it).
    authenticated_sid   uuid,
    created_at          timestamptz not null,
    expires_at          timestamptz not null
);
create index interactions_by_expiry on interactions (expires_at);

create table consents (
    user_id             uuid not null references users (id) on delete cascade,
    client_id           text not null,
    scopes              text[] not null,
    updated_at          timestamptz not null,
    primary key (user_id, client_id)
);

-- What a user allowed a client once: the family that its code, refresh and access tokens belong to.
create table grants (
    id                  uuid primary key,
    user_id             uuid not null references users (id) on delete cascade,
    client_id           text not null,
    sid                 uuid,
    scopes              text[] not null,
    audience            text[] not null,
    nonce               text,
    auth_time           timestamptz not null,
    amr                 text[] not null,
    created_at          timestamptz not null,
    -- The absolute end of the refresh family.
    expires_at          timestamptz not null,
    revoked_at          timestamptz,
    revoked_reason      text
);
create index grants_by_user on grants (user_id);
create index grants_by_client on grants (client_id);
create index grants_by_expiry on grants (expires_at);

create table authorization_codes (
    code_hash           bytea primary key,
    grant_id            uuid not null references grants (id) on delete cascade,
    redirect_uri        text not null,
    -- S256 (RFC 7636); null only for confidential clients.
    code_challenge      text,
    expires_at          timestamptz not null,
    redeemed_at         timestamptz
);
create index authorization_codes_by_grant on authorization_codes (grant_id);

create table refresh_tokens (
    token_hash          bytea primary key,
    grant_id            uuid not null references grants (id) on delete cascade,
    created_at          timestamptz not null,
    expires_at          timestamptz not null,
    rotated_at          timestamptz
);
create index refresh_tokens_by_grant on refresh_tokens (grant_id);
