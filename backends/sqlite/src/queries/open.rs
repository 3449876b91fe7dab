//! The texts of opening: whose file is it, may it be written, and which namespace is asked for?

/// What a file says it is: application, schema version, number of tables and the like, whether its text is UTF-8, and
/// which version of our schema its tables would be, 0 for none.
pub(crate) const IDENTITY: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
     (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema), \
     (SELECT encoding = 'UTF-8' FROM pragma_encoding), \
     (SELECT CASE WHEN count(*) = 3 THEN 1 + EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'kv_expires_at') \
     ELSE 0 END FROM sqlite_schema WHERE type = 'table' AND name IN ('meta', 'namespaces', 'kv'))";
pub(crate) const USE_WAL: &str = "PRAGMA journal_mode = WAL";
/// Begins to write the mark that every file of ours has, and takes it back. The one statement that SQLite refuses for a
/// file that may only be read before it has read anything: before it has created a log.
pub(crate) const TRY_TO_WRITE: &str = "BEGIN; PRAGMA application_id = 1802924913; ROLLBACK";
pub(crate) const FILE_ID: &str = "SELECT file_id FROM meta WHERE id = 1";
pub(crate) const NAMESPACE: &str = "SELECT id FROM namespaces WHERE name = $1";
pub(crate) const CREATE_NAMESPACE: &str = "INSERT INTO namespaces (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
