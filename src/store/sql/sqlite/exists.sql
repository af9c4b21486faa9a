-- Is the table there?
SELECT count(*) FROM {catalog} WHERE type = 'table' AND name = '{meta:text}'
