-- Links that mail carries to a person: to choose another password, or to show that an address is hers.
create table mail_links (
    id                  uuid primary key,
    -- Null: somebody asked for an account that there is not. The row makes that take as long.
    user_id             uuid references users (id) on delete cascade,
    purpose             text not null check (purpose in ('reset_password', 'verify_email')),
    -- The normalized address that the mail goes to: once the user has another, the link is worth nothing.
    email               text not null,
    -- SHA-256 of the code in the newest mail; null: none was sent yet.
    code_hash           bytea unique,
    created_at          timestamptz not null,
    expires_at          timestamptz not null
);
create index mail_links_by_user on mail_links (user_id);
create index mail_links_by_expiry on mail_links (expires_at);

-- Of such a mail: request_id is the link's, and client_id is empty.
alter table outbox drop constraint outbox_kind_check;
alter table outbox add constraint outbox_kind_check check (kind in ('logout', 'ciba_ping', 'ciba_mail', 'link_mail'));
