-- Which version of the schema is it?
SELECT schema_version FROM {meta}
