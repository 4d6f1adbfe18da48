CREATE TABLE "handover_schema" (version BIGINT NOT NULL PRIMARY KEY);
CREATE TABLE "handover" (
	credential TEXT COLLATE "C" NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL,
	due BIGINT,
	saved_at BIGINT NOT NULL,
	data BYTEA NOT NULL
);
CREATE INDEX "handover_due" ON "handover" (due, credential) WHERE due IS NOT NULL;
INSERT INTO "handover_schema" (version) VALUES (1);
INSERT INTO "handover" (credential, revision, due, saved_at, data)
	VALUES ('payments', 7, 1772600767123456789, 1772323200500000000, '\x7B2276223A317D');
INSERT INTO "handover" (credential, revision, due, saved_at, data)
	VALUES ('handover/installation', 1, NULL, 1772323200000000000, '\x');
