-- Authenticators that sign (WebAuthn), as second factors.

-- Of a one-time password all of these are null.
alter table second_factors
    -- SHA-256 of the credential's id, which is one user's alone.
    add column credential_hash bytea,
    -- How often it signed, by its own account. 0: it does not count.
    add column sign_count bigint,
    -- What its user calls it.
    add column name text;
create unique index second_factors_by_credential on second_factors (credential_hash);

-- What browsers were asked to have signed, and what is needed to check the answer. Each counts once.
create table factor_challenges (
    -- SHA-256 of what the browser holds, what it is for, and which page asked: one challenge each.
    owner_hash          bytea primary key,
    user_id             uuid not null references users (id) on delete cascade,
    -- Sealed with the master key.
    sealed              text not null,
    expires_at          timestamptz not null
);
create index factor_challenges_by_user on factor_challenges (user_id);
create index factor_challenges_by_expiry on factor_challenges (expires_at);
