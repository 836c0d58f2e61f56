-- W3C traceparent of the step that stored the row, where somebody traces: the steps that follow go on with its trace.
alter table interactions add column traceparent text;
alter table authorization_codes add column traceparent text;
