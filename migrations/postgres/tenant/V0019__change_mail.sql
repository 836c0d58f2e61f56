-- Mail that tells a person what changed in the account. What kinds of messages there are is the pods' to know: each claims
-- those that it can deliver and leaves others to newer ones.
alter table outbox drop constraint outbox_kind_check;
