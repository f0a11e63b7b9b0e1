-- A person's passkeys were a cell; they are a stream of the same name now, so that a change of theirs and its record are one transaction.
-- A stream that is there already is newer than the cell.
INSERT INTO streams (id, version, state)
SELECT name, version, value FROM cells WHERE name GLOB 'passkeys/*' AND value <> '' ORDER BY name
ON CONFLICT (id) DO NOTHING;
DELETE FROM cells WHERE name GLOB 'passkeys/*';
