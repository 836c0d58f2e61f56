-- Mail that tells a user of a request of CIBA.

-- SHA-256 of the code in the newest mail about the request; null: none was sent.
alter table ciba_requests add column mail_code_hash bytea unique;

-- Of a mail: the request that it is about.
alter table outbox add column request_id uuid;
alter table outbox drop constraint outbox_kind_check;
alter table outbox add constraint outbox_kind_check check (kind in ('logout', 'ciba_ping', 'ciba_mail'));
