-- Templates with their versions, and the image library.

CREATE TABLE templates (
    id          text COLLATE "C" PRIMARY KEY,
    tenant_id   text COLLATE "C" NOT NULL REFERENCES tenants,
    name        text NOT NULL,
    generation  text NOT NULL CHECK (generation IN ('dynamic', 'legacy')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX templates_of_tenant ON templates (tenant_id, id);

-- The texts of versions, by content. They never change: an edit of a version makes new ones. A request names the texts
-- that its messages are rendered from.
CREATE TABLE template_texts (
    tenant_id   text COLLATE "C" NOT NULL,
    sha256      bytea NOT NULL,
    texts       bytea NOT NULL,              -- records.TemplateTexts
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, sha256)
);

CREATE TABLE template_versions (
    id          text COLLATE "C" PRIMARY KEY,
    template_id text COLLATE "C" NOT NULL REFERENCES templates ON DELETE CASCADE,
    tenant_id   text COLLATE "C" NOT NULL,
    name        text NOT NULL,
    editor      text NOT NULL DEFAULT 'code',
    generate_plain_content boolean NOT NULL, -- the plain text is made from the html whenever the html changes
    test_data   text NOT NULL DEFAULT '',    -- JSON for previews, as the client gave it
    subject     text NOT NULL DEFAULT '',    -- as in its texts, for lists
    texts       bytea NOT NULL,              -- template_texts.sha256
    is_active   boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant_id, texts) REFERENCES template_texts
);
CREATE INDEX template_versions_of_template ON template_versions (template_id, id);
CREATE UNIQUE INDEX template_versions_active ON template_versions (template_id) WHERE is_active;
CREATE INDEX template_versions_of_texts ON template_versions (tenant_id, texts);

-- The bytes of images, by content.
CREATE TABLE image_files (
    tenant_id   text COLLATE "C" NOT NULL,
    sha256      bytea NOT NULL,
    content     bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, sha256)
);
ALTER TABLE image_files ALTER COLUMN content SET STORAGE EXTERNAL;   -- compressed already

CREATE TABLE images (
    id            text COLLATE "C" PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL REFERENCES tenants,
    filename      text NOT NULL,
    original_filename text NOT NULL,
    content_type  text NOT NULL,
    size          bigint NOT NULL,
    width         integer NOT NULL,
    height        integer NOT NULL,
    alt_text      text NOT NULL DEFAULT '',
    folder        text NOT NULL DEFAULT '',
    file          bytea NOT NULL,            -- image_files.sha256
    thumbnail     bytea NOT NULL,            -- image_files.sha256
    thumbnail_type text NOT NULL,
    views         bigint NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    deleted_at    timestamptz                -- /i/{id} answers 410 from then on
);
CREATE INDEX images_of_tenant ON images (tenant_id, id) WHERE deleted_at IS NULL;
CREATE INDEX images_of_folder ON images (tenant_id, folder) WHERE deleted_at IS NULL;
CREATE INDEX images_of_file ON images (tenant_id, file);
CREATE INDEX images_of_thumbnail ON images (tenant_id, thumbnail);
