//! Bytes on disk by digest: written whole or not at all, by any number of processes at a time.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sha2::{Digest, Sha256};

/// The file that is locked: shared while something is written, alone while all is removed.
const LOCK: &str = "lock";

/// Digits of a digest that name a folder, so that no folder gets too full.
const FOLDER: usize = 2;

/// Digits of a SHA-256.
const DIGITS: usize = 64;

/// A folder of entries, each under the digest of what it answers to.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// Whether a write failed: nothing more is written then, so that a full disk is told once.
    failed: AtomicBool,
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The SHA-256 of some bytes in lower-case hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a file in the place of what was there: readers see the old one or the new one.
///
/// # Errors
/// It cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".part-{}-{number}", std::process::id()));
    let part = path.with_file_name(name);
    let written = write_new(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

impl Store {
    /// The store in a folder, which need not be there yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, failed: AtomicBool::new(false) }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The entry of a digest, where there is one.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self, digest: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(digest)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts an entry in the place of what was there. Readers see the old one or the new one. After a failure nothing is
    /// written any more, and nothing said of it.
    ///
    /// # Errors
    /// The folder cannot be made, or the file not be written.
    pub fn write(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let done = self.put(digest, bytes);
        if done.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        done
    }

    fn put(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = self.path(digest);
        let folder = path.parent().unwrap_or(&self.dir);
        make_folder(&self.dir)?;
        let _lock = self.lock(Hold::Shared);
        make_folder(folder)?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let part = folder.join(format!("part-{}-{number}", std::process::id()));
        let written = write_new(&part, bytes).and_then(|()| fs::rename(&part, &path));
        if written.is_err() {
            let _ = fs::remove_file(&part);
        }
        written
    }

    /// How much it holds.
    ///
    /// # Errors
    /// Its folder is there and cannot be read.
    pub fn size(&self) -> io::Result<Size> {
        let mut size = Size::default();
        for path in self.files()? {
            // Another process may have removed it meanwhile.
            if let (true, Ok(about)) = (is_entry(&path), fs::metadata(&path)) {
                size.entries += 1;
                size.bytes += about.len();
            }
        }
        Ok(size)
    }

    /// Removes every entry and tells how much that was. Files that are none of its own stay.
    ///
    /// # Errors
    /// A folder cannot be read, or a file not be removed.
    pub fn clear(&self) -> io::Result<Size> {
        if !self.dir.is_dir() {
            return Ok(Size::default());
        }
        let _lock = self.lock(Hold::Alone);
        let size = self.size()?;
        for path in self.files()? {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        for folder in folders(&self.dir)? {
            // One that still holds a file of somebody else stays.
            let _ = fs::remove_dir(folder);
        }
        Ok(size)
    }

    fn path(&self, digest: &str) -> PathBuf {
        let (folder, rest) = digest.split_at_checked(FOLDER).unwrap_or((digest, ""));
        self.dir.join(folder).join(rest)
    }

    /// Its entries, and what a broken write left.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut out = Vec::new();
        for folder in folders(&self.dir)? {
            for file in fs::read_dir(folder)? {
                let path = file?.path();
                let part = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("part-"));
                if part || is_entry(&path) {
                    out.push(path);
                }
            }
        }
        Ok(out)
    }

    /// Holds the store; nothing where the file system has no locks, since a rename is atomic without them.
    fn lock(&self, hold: Hold) -> Option<File> {
        let file = File::options().create(true).truncate(false).write(true).open(self.dir.join(LOCK)).ok()?;
        match hold {
            Hold::Shared => file.lock_shared().ok()?,
            Hold::Alone => file.lock().ok()?,
        }
        Some(file)
    }
}

#[derive(Clone, Copy)]
enum Hold {
    Shared,
    Alone,
}

/// The folders of entries in a store's folder; none where it is not there.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut out = Vec::new();
    for item in read {
        let path = item?.path();
        if path.file_name().is_some_and(|n| is_hex(&n.to_string_lossy(), FOLDER)) && path.is_dir() {
            out.push(path);
        }
    }
    Ok(out)
}

fn is_entry(path: &Path) -> bool {
    path.file_name().is_some_and(|n| is_hex(&n.to_string_lossy(), DIGITS - FOLDER))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Makes a folder that only its owner can look into: entries may hold what nobody else is to read.
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn store(name: &str) -> Store {
        let dir = std::env::temp_dir().join(format!("chainrun-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Store::new(dir)
    }

    #[test]
    fn what_is_written_is_read_until_it_is_cleared() {
        let store = store("whole");
        let key = digest(b"a");
        assert_eq!(key, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
        assert_eq!(store.read(&key).unwrap(), None);
        assert_eq!(store.size().unwrap(), Size::default());
        assert_eq!(store.clear().unwrap(), Size::default());
        store.write(&key, b"one").unwrap();
        store.write(&key, b"three").unwrap();
        store.write(&digest(b"b"), b"x").unwrap();
        assert_eq!(store.read(&key).unwrap().as_deref(), Some(&b"three"[..]));
        assert_eq!(store.size().unwrap(), Size { entries: 2, bytes: 6 });
        fs::write(store.dir().join("ca").join("mine.txt"), "kept").unwrap();
        fs::write(store.dir().join("ca").join("part-1-1"), "left over").unwrap();
        assert_eq!(store.clear().unwrap(), Size { entries: 2, bytes: 6 });
        assert_eq!(store.read(&key).unwrap(), None);
        assert!(store.dir().join("ca").join("mine.txt").is_file());
        assert!(!store.dir().join("ca").join("part-1-1").exists());
        fs::remove_dir_all(store.dir()).unwrap();
    }

    #[test]
    fn many_writers_of_one_entry() {
        let store = store("many");
        let key = digest(b"k");
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let (store, key) = (&store, &key);
                scope.spawn(move || {
                    for _ in 0..20 {
                        store.write(key, &vec![n; 4000]).unwrap();
                        let read = store.read(key).unwrap().unwrap();
                        assert!(read.len() == 4000 && read.iter().all(|b| *b == read[0]));
                    }
                });
            }
        });
        assert_eq!(store.size().unwrap().entries, 1);
        fs::remove_dir_all(store.dir()).unwrap();
    }

    #[test]
    fn a_failure_is_told_once() {
        let store = store("file");
        fs::write(store.dir(), "a file, not a folder").unwrap();
        assert!(store.write(&digest(b"a"), b"x").is_err());
        assert!(store.write(&digest(b"a"), b"x").is_ok());
        fs::remove_file(store.dir()).unwrap();
    }
}
