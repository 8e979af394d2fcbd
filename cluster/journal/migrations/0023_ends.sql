-- Each table has its end (cluster/journal/ends.py): what finds the rows that are past theirs.

CREATE INDEX site_actions_at ON site_actions (at);
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
CREATE INDEX images_deleted ON images (deleted_at) WHERE deleted_at IS NOT NULL;

-- The texts of templates that no version has any more are of use until the mail that names them is gone. NULL: a version
-- has them.
ALTER TABLE template_texts ADD COLUMN unused_since timestamptz DEFAULT now();
UPDATE template_texts t SET unused_since = NULL
WHERE EXISTS (SELECT FROM template_versions v WHERE v.tenant_id = t.tenant_id AND v.texts = t.sha256);
CREATE INDEX template_texts_unused ON template_texts (unused_since) WHERE unused_since IS NOT NULL;

CREATE FUNCTION texts_of_version_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        UPDATE template_texts SET unused_since = NULL
        WHERE tenant_id = NEW.tenant_id AND sha256 = NEW.texts AND unused_since IS NOT NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE template_texts SET unused_since = now()
        WHERE tenant_id = OLD.tenant_id AND sha256 = OLD.texts AND NOT EXISTS (
            SELECT FROM template_versions WHERE tenant_id = OLD.tenant_id AND texts = OLD.texts);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER texts_changed AFTER INSERT OR DELETE OR UPDATE OF texts
    ON template_versions FOR EACH ROW EXECUTE FUNCTION texts_of_version_changed();
