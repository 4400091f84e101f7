//! Archives of files: written so that the same files give the same bytes, and read without a word of them believed.

use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::OciError;
use super::folder::usual;
use super::layers::hex_of;

/// Bytes that all archives of an artifact have together once they are inflated.
pub(super) const INFLATED_BYTES_MAX: u64 = 2 << 30;
/// Files in all archives of an artifact.
const ENTRIES_MAX: usize = 100_000;

/// An archive of these files, by their paths.
pub(super) fn write<'a>(files: impl Iterator<Item = (&'a str, &'a Bytes)>) -> io::Result<Bytes> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (path, data) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, path, &data[..])?;
    }
    Ok(archive.into_inner()?.finish()?.into())
}

/// What may still be inflated.
pub(super) struct Inflation {
    bytes: u64,
    entries: usize,
}

impl Default for Inflation {
    fn default() -> Self {
        Self { bytes: INFLATED_BYTES_MAX, entries: ENTRIES_MAX }
    }
}

impl Inflation {
    /// Puts the content of each file in the archive into the folder `blobs`, named by its digest; that is all that is asked for, so
    /// that neither paths nor links in it can do harm.
    pub(super) fn unpack(&mut self, archive: impl Read, blobs: &Path) -> Result<(), OciError> {
        let damaged = |error: io::Error| OciError::Content(format!("an archive of files is damaged: {error}"));
        // Headers and padding count as well. Long names stay unread: they would be kept in memory.
        let limited = MultiGzDecoder::new(archive).take(self.bytes.saturating_add(1));
        let mut archive = tar::Archive::new(limited);
        for entry in archive.entries().map_err(damaged)?.raw(true) {
            let Ok(mut entry) = entry else {
                return Err(damaged(io::Error::other("it ends early, or is larger than its files")));
            };
            self.entries = self.entries.checked_sub(1).ok_or_else(|| OciError::TooLarge {
                what: "the archives of files are".to_owned(),
                max: format!("{ENTRIES_MAX} files"),
            })?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let too_large = || OciError::TooLarge {
                what: "the archives of files are".to_owned(),
                max: format!("{INFLATED_BYTES_MAX} bytes"),
            };
            let size = entry.size();
            self.bytes = self.bytes.checked_sub(size).ok_or_else(too_large)?;
            let aside = tempfile::Builder::new().permissions(usual(0o666)).tempfile_in(blobs);
            let aside = aside.map_err(OciError::file(blobs, "written to"))?;
            let mut hashed = Hashed::new(aside);
            if io::copy(&mut entry, &mut hashed).map_err(damaged)? != size {
                return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            let (aside, digest) = hashed.finish();
            let name = hex_of(&digest).unwrap_or_default();
            let path = blobs.join(name);
            aside.persist(&path).map_err(|error| OciError::file(&path, "written")(error.error))?;
        }
        Ok(())
    }
}

/// A file that is hashed as it is written.
struct Hashed {
    file: tempfile::NamedTempFile,
    sha256: sha2::Sha256,
}

impl Hashed {
    fn new(file: tempfile::NamedTempFile) -> Self {
        Self { file, sha256: Default::default() }
    }

    fn finish(self) -> (tempfile::NamedTempFile, String) {
        use sha2::Digest as _;
        (self.file, format!("sha256:{}", hex::encode(self.sha256.finalize())))
    }
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use sha2::Digest as _;
        let written = self.file.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::layers::digest_of;
    use super::*;

    fn blobs_of(archive: &[u8], inflation: &mut Inflation) -> Result<Vec<String>, OciError> {
        let folder = tempfile::tempdir().unwrap();
        inflation.unpack(archive, folder.path())?;
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut texts: Vec<_> = files
            .map(|path| {
                let content = fs::read(&path).unwrap();
                assert_eq!(format!("sha256:{}", path.file_name().unwrap().to_str().unwrap()), digest_of(&content));
                String::from_utf8_lossy(&content).into_owned()
            })
            .collect();
        texts.sort();
        Ok(texts)
    }

    #[test]
    fn the_same_files_give_the_same_archive_and_come_out_of_it() {
        let long = format!("{}/page.html", "deep".repeat(60));
        let files = [("a.txt", Bytes::from_static(b"one")), (long.as_str(), Bytes::from_static(b"two"))];
        let archive = || write(files.iter().map(|(path, data)| (*path, data))).unwrap();
        assert_eq!(archive(), archive());
        assert_eq!(blobs_of(&archive(), &mut Inflation::default()).unwrap(), ["one", "two"]);
    }

    #[test]
    fn neither_paths_nor_links_of_an_archive_lead_anywhere() {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "link", "/etc").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        // The library would not write such a path by itself.
        header.as_gnu_mut().unwrap().name[..14].copy_from_slice(b"../../evil.txt");
        header.set_cksum();
        tar.append(&header, &b"evil"[..]).unwrap();
        let archive = tar.into_inner().unwrap().finish().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("a/b");
        fs::create_dir_all(&blobs).unwrap();
        Inflation::default().unpack(&archive[..], &blobs).unwrap();
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 1, "the file, by its digest");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_bomb_is_refused_and_so_is_what_breaks_off() {
        let bomb = Bytes::from(vec![0; 1 << 20]);
        let archive = write([("bomb", &bomb)].into_iter()).unwrap();
        assert!(archive.len() < 10_000);
        let mut small = Inflation { bytes: 1 << 19, entries: 10 };
        let refused = blobs_of(&archive, &mut small).unwrap_err();
        assert!(matches!(refused, OciError::TooLarge { .. }), "{refused}");
        let mut none = Inflation { bytes: 1 << 30, entries: 0 };
        assert!(matches!(blobs_of(&archive, &mut none), Err(OciError::TooLarge { .. })));
        for end in [5, archive.len() / 2] {
            assert!(blobs_of(&archive[..end], &mut Inflation::default()).is_err(), "cut at {end}");
        }
    }
}
