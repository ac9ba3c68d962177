//! The folder of a database on the command line: `--db DIR` or `DIR`. Each command documents one of the
//! two, and takes the other as well, because nobody remembers which one it is.

use std::path::{Path, PathBuf};

use clap::Args;
use tidestone::{Options, Tidestone};

use super::report_open;
use crate::outcome::Run;

/// The folder, given in one of both ways. The one that a command does not document is not asked for.
#[derive(Debug, Args)]
struct Folder {
    /// The folder of the database
    #[arg(long, conflicts_with = "dir")]
    db: Option<PathBuf>,
    /// The folder of the database
    dir: Option<PathBuf>,
}

impl Folder {
    fn path(&self) -> &Path {
        let given = self.db.as_deref().or(self.dir.as_deref());
        // clap asks for one of them.
        given.unwrap_or(Path::new(""))
    }
}

/// The folder of a database, documented as `--db`.
#[derive(Debug, Args)]
#[command(mut_arg("db", |arg| arg.required(true)), mut_arg("dir", |arg| arg.hide(true)))]
pub(crate) struct DbArgs {
    #[command(flatten)]
    folder: Folder,
}

/// The folder of a database, documented as an argument without an option.
#[derive(Debug, Args)]
#[command(mut_arg("dir", |arg| arg.required(true)), mut_arg("db", |arg| arg.hide(true)))]
pub(crate) struct DirArgs {
    #[command(flatten)]
    folder: Folder,
}

impl DbArgs {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the database for reading, beside whoever writes to it.
    pub(crate) fn open(&self) -> Run<Tidestone> {
        let db = Tidestone::open_read_only(self.path(), Options::default())?;
        report_open(&db);
        Ok(db)
    }
}

impl DirArgs {
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}
