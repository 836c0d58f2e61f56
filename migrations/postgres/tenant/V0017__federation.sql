-- Signing in at other providers.

-- One sign-in on its way through a provider, until the browser comes back.
create table federated_logins (
    -- Of its state; it counts once.
    state_hash          bytea primary key,
    -- SHA-256 of the browser's binding cookie: nobody else brings the answer.
    browser_hash        bytea not null,
    provider            text not null,
    issuer              text not null,
    -- The nonce, the code verifier and where to go on, sealed with the master key.
    sealed              text not null,
    created_at          timestamptz not null,
    expires_at          timestamptz not null
);
create index federated_logins_by_expiry on federated_logins (expires_at);

-- As whom a provider knows a user.
create table federated_identities (
    issuer              text not null,
    subject             text not null,
    user_id             uuid not null references users (id) on delete cascade,
    created_at          timestamptz not null,
    primary key (issuer, subject)
);
create index federated_identities_by_user on federated_identities (user_id);
