//! The clients that have a segment mapped, and their versions.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::super::layout::Layout;
use super::super::process::{Attached, attached, program};
use super::super::version::{ClientVersion, TargetError};
use super::elf::client_version;

/// Files of a process that are searched for a version, of those whose name says nothing.
const MOST_FILES: usize = 24;
/// What the kernel writes behind the path of a file that was removed or replaced.
const DELETED: &[u8] = b" (deleted)";

/// The layout that a client expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLayout {
    /// This one.
    Known(Layout),
    /// The client is newer than every one whose layout is known.
    Newer,
    /// The client does not say its version, or it is an unknown one.
    Unknown,
}

/// A process that has a segment mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedClient {
    /// The process.
    pub pid: u32,
    /// How often it has the segment mapped.
    pub mappings: usize,
    /// The name of its program; `None` if it can't be read.
    pub program: Option<String>,
    /// The program or library that has the C client inside.
    pub library: Option<PathBuf>,
    /// The version of the C client.
    pub version: Option<String>,
    /// The layout that this version expects.
    pub layout: ClientLayout,
}

/// The layout of clients of that version.
fn layout_of(version: &str) -> ClientLayout {
    match version.parse::<ClientVersion>() {
        Ok(version) => ClientLayout::Known(version.layout()),
        Err(TargetError::TooNew { .. }) => ClientLayout::Newer,
        Err(_) => ClientLayout::Unknown,
    }
}

/// All processes that have the segment of that id mapped, as far as they can be seen,
/// by pid.
pub fn attached_clients(id: i32) -> Vec<AttachedClient> {
    attached(id).into_iter().map(examine).collect()
}

fn examine(Attached { pid, mappings, code }: Attached) -> AttachedClient {
    let found = version_in(pid, code);
    let layout = found.as_ref().map_or(ClientLayout::Unknown, |(_, version)| layout_of(version));
    let (library, version) = found.unzip();
    AttachedClient { pid, mappings, program: program(pid), library, version, layout }
}

/// The first of these files of a process that says a version. Those that are named for
/// the client come first.
fn version_in(pid: u32, mut code: Vec<PathBuf>) -> Option<(PathBuf, String)> {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_bytes();
        name.windows(9).any(|part| part.eq_ignore_ascii_case(b"aerospike"))
    };
    code.sort_by_key(|path| !named(path));
    let certain = code.iter().take_while(|path| named(path)).count();
    code.truncate(certain + MOST_FILES);
    code.into_iter().find_map(|path| {
        let version = client_version(&file_of(pid, &path)?)?;
        Some((path, version))
    })
}

/// A file as that process sees it. Its path and its root are as the process likes: no
/// link leads out of the root, and only a regular file is opened.
fn file_of(pid: u32, path: &Path) -> Option<File> {
    let file = match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(_) => mapped_file(pid, path)?,
        None => {
            let root = format!("/proc/{pid}/root");
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = open(root, flags, Mode::empty()).ok()?;
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            File::from(openat2(root, path, flags, Mode::empty(), within).ok()?)
        }
    };
    file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
}

/// A mapped file that no longer has a name.
fn mapped_file(pid: u32, path: &Path) -> Option<File> {
    let folder = PathBuf::from(format!("/proc/{pid}/map_files"));
    let links = std::fs::read_dir(folder).ok()?.map_while(Result::ok);
    let mut links = links.map(|link| link.path());
    let link = links.find(|link| std::fs::read_link(link).is_ok_and(|to| to == path))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    Some(File::from(open(link, flags, Mode::empty()).ok()?))
}

impl AttachedClient {
    /// The process in a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        let program = self.program.as_deref().unwrap_or("unknown program");
        match &self.version {
            Some(version) => format!("process {} ({program}, C client {version})", self.pid),
            None => format!("process {} ({program})", self.pid),
        }
    }

    /// The path of its library, as text.
    #[must_use]
    pub fn library_text(&self) -> Option<String> {
        let path = self.library.as_deref().map(Path::as_os_str);
        path.map(OsStr::to_string_lossy).map(|text| text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ForeignSegment, shm_create, shm_remove};

    #[test]
    fn a_version_has_a_layout_or_says_why_not() {
        assert_eq!(layout_of("7.6.1"), ClientLayout::Known(Layout::F));
        assert_eq!(layout_of("7.1.0"), ClientLayout::Known(Layout::E));
        assert_eq!(layout_of("99.0.0"), ClientLayout::Newer);
        assert_eq!(layout_of("1.2.3"), ClientLayout::Unknown);
        assert_eq!(layout_of("7..1"), ClientLayout::Unknown);
    }

    #[test]
    fn a_process_without_the_c_client_has_no_version() {
        let me = std::process::id();
        let id = shm_create(0, 64, 0o600).unwrap();
        let segment = ForeignSegment::attach(id, true).unwrap();
        shm_remove(id).unwrap();
        let found = attached_clients(id);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].pid, found[0].mappings, &found[0].version), (me, 1, &None));
        assert_eq!(found[0].layout, ClientLayout::Unknown);
        assert!(found[0].describe().starts_with(&format!("process {me} (")));
        drop(segment);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let (me, folder) = (std::process::id(), tempfile::tempdir().unwrap());
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for path in [&pipe, &link, folder.path(), Path::new("/nonexistent (deleted)")] {
            assert!(file_of(me, path).is_none(), "{path:?}");
        }
        assert!(file_of(me, &std::env::current_exe().unwrap()).is_some());
    }
}
