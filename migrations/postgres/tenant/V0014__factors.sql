-- Second factors at the sign-in.

create table second_factors (
    id                  uuid primary key,
    user_id             uuid not null references users (id) on delete cascade,
    kind                text not null,
    -- The seed of a one-time password: sealed with the master key.
    sealed              text not null,
    -- Of a one-time password: the newest time step of which a code was used. Each counts once.
    last_step           bigint,
    created_at          timestamptz not null,
    last_used_at        timestamptz
);
create index second_factors_by_user on second_factors (user_id);
-- One app with one-time passwords each: a person who has two of them has one seed in both.
create unique index second_factors_one_totp on second_factors (user_id) where kind = 'totp';

-- What lets a person in who lost the factors, each once.
create table recovery_codes (
    code_hash           bytea primary key,
    user_id             uuid not null references users (id) on delete cascade
);
create index recovery_codes_by_user on recovery_codes (user_id);

-- Sign-ins whose first factor was shown and whose second was not: no sessions yet.
create table sign_ins (
    -- SHA-256 of the cookie.
    id_hash             bytea primary key,
    id                  uuid not null,
    user_id             uuid not null references users (id) on delete cascade,
    -- The interaction it was begun in; null: in none.
    interaction_hash    bytea,
    amr                 text[] not null,
    expires_at          timestamptz not null
);
create index sign_ins_by_user on sign_ins (user_id);
create index sign_ins_by_expiry on sign_ins (expires_at);
