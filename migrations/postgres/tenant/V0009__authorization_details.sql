-- What clients ask for in detail (RFC 9396), while its user is asked and once she allowed it; null: nothing.

-- Only what she need not be asked again.
alter table consents add column authorization_details jsonb;
alter table device_codes add column authorization_details jsonb;
alter table ciba_requests add column authorization_details jsonb;
