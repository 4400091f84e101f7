//! The files that the manifest grants components: each set of them once, in a folder named by its content, which guests see as `/`.
//!
//! A revision keeps the files that it was given: what another one is given is laid out beside them, whatever has become of the
//! originals. Guests read them and no more, so revisions, and processes during an upgrade, share a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tempfile::TempDir;

use crate::manifest::MountedFile;
use crate::registry::Digest;

/// What a folder's name begins with that is still filled.
const UNFINISHED_PREFIX: &str = ".unfinished-";

/// A file could not be laid out.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// It cannot be read or written.
    #[error("{} cannot be laid out for the guest", path.display())]
    LayOut {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// They are not what they were when they were laid out, or are gone.
    #[error("the files in {} are damaged: their content has another digest than the folder's name says", path.display())]
    Damaged { path: PathBuf },
    /// Folders cannot be removed.
    #[error("files in {} that no revision has any more stay behind", path.display())]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Sets that are held, by their digests.
type Used = BTreeMap<String, Weak<Folder>>;

/// All sets of files.
pub(super) struct Files {
    /// Of the host; nothing in it is laid out: secrets, stores, and what was laid out before. Except the files of the artifact that
    /// the application is, if it came as one.
    state: PathBuf,
    root: PathBuf,
    /// Those that this process has looked at and still uses.
    used: Mutex<Used>,
    /// Whether no other process has guests that read them.
    are_own: AtomicBool,
}

/// A set of files. As long as it is held, it stays.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) digest: Digest,
    pub(super) path: PathBuf,
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Files {
    /// Those in the folder `root` of the host's own `state`.
    pub(super) fn new(state: &Path, root: PathBuf) -> Self {
        Self { state: state.to_owned(), root, used: Mutex::default(), are_own: AtomicBool::new(false) }
    }

    /// Puts `files` of an application whose manifest is in the folder `application` into a folder, if they are not there already.
    pub(super) fn lay_out(&self, files: &[MountedFile], application: &Path) -> Result<Arc<Folder>, FilesError> {
        let state = fs::canonicalize(&self.state).map_err(failed(&self.state))?;
        let application = fs::canonicalize(application).map_err(failed(application))?;
        let artifact = Some(application).filter(|application| application.starts_with(&state));
        let is_own = |path: &Path| {
            path.starts_with(&state) && !artifact.as_ref().is_some_and(|artifact| path.starts_with(artifact))
        };
        // A file that two entries put in the same place is that of the later one.
        let mut places: BTreeMap<&Path, &Path> = BTreeMap::new();
        for MountedFile { source, guest_path, .. } in files {
            if !is_own(&fs::canonicalize(source).map_err(failed(source))?) {
                places.insert(guest_path, source);
            }
        }
        // Nothing is removed meanwhile.
        let mut used = self.used();
        let mut content = Content::default();
        for (guest_path, source) in &places {
            content.add(guest_path, source).map_err(failed(source))?;
        }
        if let Ok(folder) = self.find_in(&mut used, &content.digest()) {
            return Ok(folder);
        }
        fs::create_dir_all(&self.root).map_err(failed(&self.root))?;
        let aside = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempdir_in(&self.root);
        let aside = aside.map_err(failed(&self.root))?;
        // The digest is of what was written: the originals may change meanwhile.
        let mut content = Content::default();
        for (guest_path, source) in places {
            let copy = aside.path().join(guest_path);
            place(source, &copy).and_then(|()| content.add(guest_path, &copy)).map_err(failed(source))?;
        }
        let digest = content.digest();
        self.settle(&mut used, aside, &digest)
    }

    /// Puts a filled folder in its place, on disk. What another process has put there meanwhile stays, and may be in use; only what is
    /// damaged is replaced.
    fn settle(&self, used: &mut Used, aside: TempDir, digest: &Digest) -> Result<Arc<Folder>, FilesError> {
        let path = self.path(digest);
        sync_folders(aside.path()).map_err(failed(&path))?;
        if fs::rename(aside.path(), &path).is_err() {
            if let Ok(folder) = self.find_in(used, digest) {
                return Ok(folder);
            }
            // It may be no folder, or none at all.
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            fs::rename(aside.path(), &path).map_err(failed(&path))?;
        }
        // It has another name now.
        _ = aside.keep();
        File::open(&self.root).and_then(|root| root.sync_all()).map_err(failed(&self.root))?;
        self.find_in(used, digest)
    }

    /// The set with this digest, whole.
    pub(super) fn find(&self, digest: &Digest) -> Result<Arc<Folder>, FilesError> {
        self.find_in(&mut self.used(), digest)
    }

    fn find_in(&self, used: &mut Used, digest: &Digest) -> Result<Arc<Folder>, FilesError> {
        if let Some(folder) = used.get(digest.as_str()).and_then(Weak::upgrade) {
            return Ok(folder);
        }
        let path = self.path(digest);
        let mut content = Content::default();
        if !path.is_dir() || content.add_all(&path, &path).is_err() || content.digest() != *digest {
            return Err(FilesError::Damaged { path });
        }
        let folder = Arc::new(Folder { digest: digest.clone(), path });
        used.retain(|_, folder| folder.strong_count() > 0);
        used.insert(digest.as_str().to_owned(), Arc::downgrade(&folder));
        Ok(folder)
    }

    /// From here on no other process has guests.
    pub(super) fn are_own(&self) {
        self.are_own.store(true, Ordering::Release);
    }

    /// Removes all sets but these and those in use, and what a host that died had begun to write; nothing while another process may
    /// have guests that read them.
    pub(super) fn keep_only(&self, kept: &[Digest]) -> Result<(), FilesError> {
        if !self.are_own.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = |source| FilesError::Remove { path: self.root.clone(), source };
        let folders = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folders => folders.map_err(failed)?,
        };
        // Held, so that none of them comes into use meanwhile.
        let used = self.used();
        for folder in folders {
            let folder = folder.map_err(failed)?;
            let name = folder.file_name().to_string_lossy().into_owned();
            let is_used = used.get(&name).is_some_and(|folder| folder.strong_count() > 0);
            if !is_used && !kept.iter().any(|digest| digest.as_str() == name) {
                fs::remove_dir_all(folder.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Every change of it is made in one step.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.as_str())
    }
}

/// What a set of files consists of.
#[derive(Default)]
struct Content(BTreeMap<PathBuf, Digest>);

impl Content {
    fn add(&mut self, guest_path: &Path, file: &Path) -> io::Result<()> {
        // `a/./b` is where `a/b` is.
        self.0.insert(guest_path.components().collect(), Digest::of_file(file)?);
        Ok(())
    }

    /// All files in `folder`, by their paths in `root`.
    fn add_all(&mut self, root: &Path, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.add_all(root, &path)?;
            } else {
                self.add(path.strip_prefix(root).unwrap_or(&path), &path)?;
            }
        }
        Ok(())
    }

    fn digest(&self) -> Digest {
        // `Debug` quotes paths, so no two lists look the same.
        let list: String = self.0.iter().map(|(path, digest)| format!("{path:?} {}\n", digest.as_str())).collect();
        Digest::of(list.as_bytes())
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> FilesError {
    let path = path.to_owned();
    move |source| FilesError::LayOut { path, source }
}

/// Has the entries of a folder, and of those in it, on disk.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Copies, because a link would let a mistake here reach the user's own file.
fn place(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(source, target)?;
    // A revision that is on disk has its files there.
    File::open(target)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    struct Site {
        dir: tempfile::TempDir,
        files: Files,
    }

    impl Site {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let state = dir.path().join("state");
            fs::create_dir(&state).unwrap();
            let files = Files::new(&state, state.join("files"));
            Self { dir, files }
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    fn mounted(source: &Path, guest_path: &str) -> MountedFile {
        MountedFile { source: source.to_owned(), guest_path: guest_path.into(), is_named: false }
    }

    #[test]
    fn files_that_meet_in_one_place_leave_the_originals_alone() {
        let site = Site::new();
        let (first, second) = (site.file("first", "one"), site.file("second", "two"));
        let files = [mounted(&first, "a.txt"), mounted(&second, "a.txt")];
        for _ in 0..2 {
            let folder = site.files.lay_out(&files, site.dir.path()).unwrap();
            assert_eq!(fs::read_to_string(folder.path.join("a.txt")).unwrap(), "two");
        }
        assert_eq!(fs::read_to_string(&first).unwrap(), "one");
        assert_eq!(fs::read_to_string(&second).unwrap(), "two");
    }

    #[test]
    fn nothing_of_the_state_is_laid_out_and_the_next_start_is_the_same() {
        let site = Site::new();
        let (page, secret) = (site.file("index.html", "page"), site.file("state/token", "secret"));
        let mut digests = Vec::new();
        for _ in 0..2 {
            let mut files = vec![mounted(&page, "index.html"), mounted(&secret, "state/token")];
            // What a pattern finds at the second start.
            let laid_out = digests.last().map(|digest| site.files.path(digest).join("index.html"));
            files.extend(laid_out.as_ref().map(|path| mounted(path, "state/files/x/index.html")));
            let folder = site.files.lay_out(&files, site.dir.path()).unwrap();
            assert_eq!(fs::read_to_string(folder.path.join("index.html")).unwrap(), "page");
            assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
            digests.push(folder.digest.clone());
        }
        assert_eq!(digests[0], digests[1]);
    }

    #[test]
    fn an_application_that_came_as_an_artifact_has_its_own_files_and_no_others_of_the_state() {
        let site = Site::new();
        let artifact = site.dir.path().join("state/oci/shop");
        fs::create_dir_all(&artifact).unwrap();
        let (page, secret) = (site.file("state/oci/shop/index.html", "page"), site.file("state/token", "secret"));
        let files = [mounted(&page, "index.html"), mounted(&secret, "token")];
        let folder = site.files.lay_out(&files, &artifact).unwrap();
        assert_eq!(fs::read_to_string(folder.path.join("index.html")).unwrap(), "page");
        assert_eq!(fs::read_dir(&folder.path).unwrap().count(), 1);
    }

    #[test]
    fn each_set_stays_as_it_was_until_nobody_has_it() {
        let site = Site::new();
        let page = site.file("index.html", "one");
        let files = [mounted(&page, "deep/index.html")];
        let one = site.files.lay_out(&files, site.dir.path()).unwrap();
        site.file("index.html", "two");
        let two = site.files.lay_out(&files, site.dir.path()).unwrap();
        let text = |folder: &Folder| fs::read_to_string(folder.path.join("deep/index.html"));
        assert_eq!((text(&one).unwrap(), text(&two).unwrap()), ("one".to_owned(), "two".to_owned()));

        let (recorded, path) = (one.digest.clone(), one.path.clone());
        drop(one);
        site.files.keep_only(&[]).unwrap();
        assert!(path.exists(), "another process may read it");
        site.files.are_own();
        site.files.keep_only(std::slice::from_ref(&recorded)).unwrap();
        assert!(path.exists() && text(&two).is_ok(), "it is recorded, and the other one in use");
        assert_eq!(site.files.find(&recorded).unwrap().path, path);
        site.files.keep_only(&[]).unwrap();
        assert!(!path.exists() && text(&two).is_ok());
    }

    #[test]
    fn what_was_changed_on_disk_is_found_and_laid_out_again() {
        let site = Site::new();
        let files = [mounted(&site.file("index.html", "page"), "index.html")];
        let folder = site.files.lay_out(&files, site.dir.path()).unwrap();
        let (digest, laid_out) = (folder.digest.clone(), folder.path.join("index.html"));
        drop(folder);
        fs::write(&laid_out, "other").unwrap();
        assert!(matches!(site.files.find(&digest), Err(FilesError::Damaged { .. })));
        let again = site.files.lay_out(&files, site.dir.path()).unwrap();
        assert_eq!((again.digest.clone(), fs::read_to_string(laid_out).unwrap()), (digest, "page".to_owned()));
    }
    #[test]
    fn what_another_process_has_laid_out_meanwhile_stays_and_only_what_is_damaged_is_replaced() {
        let site = Site::new();
        let files = [mounted(&site.file("index.html", "page"), "deep/index.html")];
        let folder = site.files.lay_out(&files, site.dir.path()).unwrap();
        let (digest, laid_out) = (folder.digest.clone(), folder.path.join("deep/index.html"));
        // Which nobody knows here who has not looked.
        let settle = || {
            let other = Files::new(&site.files.state, site.files.root.clone());
            let aside = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempdir_in(&other.root).unwrap();
            fs::create_dir(aside.path().join("deep")).unwrap();
            fs::write(aside.path().join("deep/index.html"), "page").unwrap();
            let settled = other.settle(&mut other.used(), aside, &digest);
            settled.map(|folder| fs::read_to_string(folder.path.join("deep/index.html")).unwrap())
        };
        let inode = || fs::metadata(&laid_out).unwrap().ino();
        let before = inode();
        assert_eq!((settle().unwrap(), inode()), ("page".to_owned(), before));
        fs::write(&laid_out, "other").unwrap();
        assert_eq!(settle().unwrap(), "page");
        assert_ne!(inode(), before);
        fs::remove_dir_all(&folder.path).unwrap();
        fs::write(&folder.path, "no folder").unwrap();
        assert_eq!(settle().unwrap(), "page");
        assert_eq!(fs::read_dir(&site.files.root).unwrap().count(), 1, "nothing unfinished stays");
    }
}
