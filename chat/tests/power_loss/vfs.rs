//! A SQLite VFS over the usual one that writes down every change to a file, in order.
//!
//! Locks, shared memory and reads go straight through. `xSync` is written down and not done: the disk
//! that counts is the one in `disk.rs`.
#![expect(unsafe_code, reason = "SQLite's VFS is a table of C functions")]

use crate::disk::{Op, Recorder};
use rusqlite::ffi;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::size_of;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

/// What the VFS carries: the one below, and where to write down.
struct Below {
    vfs: *mut ffi::sqlite3_vfs,
    recorder: Arc<Recorder>,
}

/// An open file: SQLite's part, ours, and right behind it the file of the VFS below.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    recorder: *const Recorder,
    /// The file's number with the recorder; `None` for temporary files and the like.
    number: Option<usize>,
    /// Its first sync also syncs the directory, as SQLite does for journals that it creates.
    syncs_directory: bool,
}

/// Registers the VFS under this name, for the process's life.
pub(crate) fn register(name: &str, recorder: Arc<Recorder>) {
    let name = CString::new(name).expect("a name without NUL").into_raw();
    // SAFETY: SQLite gives its default VFS or null, and keeps it for the process's life.
    let vfs = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    assert!(!vfs.is_null(), "SQLite has a default VFS");
    // SAFETY: just checked; nobody writes to it after start-up.
    let below = unsafe { *vfs };
    let size = c_int::try_from(size_of::<File>()).expect("a small struct") + below.szOsFile;
    let shim = ffi::sqlite3_vfs {
        szOsFile: size,
        zName: name,
        pNext: ptr::null_mut(),
        pAppData: Box::into_raw(Box::new(Below { vfs, recorder })).cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        ..below
    };
    // SAFETY: the struct and what it points to are leaked, so they live as long as SQLite uses them.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(shim)), 0) };
    assert_eq!(registered, ffi::SQLITE_OK);
}

/// What `register` put there.
///
/// # Safety
/// The VFS is one of ours.
unsafe fn below<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Below {
    // SAFETY: as promised by the caller, `pAppData` is the leaked box of `register`.
    unsafe { &*(*vfs).pAppData.cast::<Below>() }
}

/// The file of the VFS below.
fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // `szOsFile` has room for it behind ours, and SQLite's allocations are 8-aligned as it needs.
    file.cast::<u8>().wrapping_add(size_of::<File>()).cast()
}

/// The methods of the file below.
///
/// # Safety
/// The file was opened by `open`, successfully.
unsafe fn methods<'a>(file: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    // SAFETY: after a successful open the VFS below has set its methods.
    unsafe { &*(*inner(file)).pMethods }
}

/// Writes down what happens to a file, if it is one that counts.
///
/// # Safety
/// The file was opened by `open`, successfully.
unsafe fn record(file: *mut ffi::sqlite3_file, op: impl FnOnce(usize) -> Op) {
    // SAFETY: `open` initialised our part, and the recorder is kept alive by the leaked `Below`.
    let (file, recorder) = unsafe { (&*file.cast::<File>(), &*(*file.cast::<File>()).recorder) };
    if let Some(number) = file.number {
        recorder.record(op(number));
    }
}

/// The name within the directory.
fn file_name(path: *const c_char) -> Option<String> {
    if path.is_null() {
        return None;
    }
    // SAFETY: SQLite gives NUL-terminated paths.
    let path = unsafe { CStr::from_ptr(path) }
        .to_string_lossy()
        .into_owned();
    Path::new(&path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this with a VFS that `register` made.
    let below = unsafe { below(vfs) };
    let journal = ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL;
    let counts = flags & (ffi::SQLITE_OPEN_MAIN_DB | journal) != 0;
    let name = file_name(path).filter(|_| counts);
    // SAFETY: the path is NUL-terminated or null.
    let existed = !path.is_null()
        && unsafe { CStr::from_ptr(path) }
            .to_str()
            .is_ok_and(|path| Path::new(path).exists());
    // SAFETY: the VFS below gets its own struct and the room behind ours.
    let opened = unsafe {
        let open = (*below.vfs).xOpen.expect("a VFS opens");
        open(below.vfs, path, inner(file), flags, out_flags)
    };
    if opened != ffi::SQLITE_OK {
        // SAFETY: `file` is SQLite's memory of `szOsFile` bytes; without methods it is not closed.
        unsafe { (*file).pMethods = ptr::null() };
        return opened;
    }
    let number = name.map(|name| below.recorder.opened(&name, existed));
    let ours = File {
        base: ffi::sqlite3_file {
            pMethods: &raw const METHODS,
        },
        recorder: Arc::as_ptr(&below.recorder),
        number,
        syncs_directory: flags & journal != 0,
    };
    // SAFETY: as above; ours is the first part of that memory.
    unsafe { file.cast::<File>().write(ours) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync_directory: c_int,
) -> c_int {
    // SAFETY: SQLite calls this with a VFS that `register` made; the one below gets its own struct.
    let (below, deleted) = unsafe {
        let below = below(vfs);
        let delete = (*below.vfs).xDelete.expect("a VFS deletes");
        (below, delete(below.vfs, path, 0))
    };
    if deleted == ffi::SQLITE_OK
        && let Some(name) = file_name(path)
    {
        below.recorder.deleted(&name, sync_directory != 0);
    }
    deleted
}

/// A method that only passes on.
macro_rules! pass_on {
    ($($name:ident -> $method:ident($($argument:ident: $type:ty),*);)*) => {
        $(unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> c_int {
            // SAFETY: SQLite calls this for an open file; the file below is open as well.
            unsafe {
                let method = methods(file).$method.expect("the VFS below is complete");
                method(inner(file), $($argument),*)
            }
        })*
    };
}

pass_on! {
    close -> xClose();
    read -> xRead(buffer: *mut c_void, amount: c_int, offset: ffi::sqlite3_int64);
    size -> xFileSize(size: *mut ffi::sqlite3_int64);
    lock -> xLock(level: c_int);
    unlock -> xUnlock(level: c_int);
    check_lock -> xCheckReservedLock(out: *mut c_int);
    control -> xFileControl(op: c_int, argument: *mut c_void);
    sector -> xSectorSize();
    device -> xDeviceCharacteristics();
    shm_map -> xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void);
    shm_lock -> xShmLock(offset: c_int, count: c_int, flags: c_int);
    shm_unmap -> xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: as for the methods that pass on.
    unsafe {
        methods(file)
            .xShmBarrier
            .expect("the VFS below is complete")(inner(file))
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    buffer: *const c_void,
    amount: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite gives `amount` readable bytes and an open file.
    unsafe {
        let bytes = usize::try_from(amount).expect("a size");
        let data = std::slice::from_raw_parts(buffer.cast::<u8>(), bytes).to_vec();
        let offset_bytes = usize::try_from(offset).expect("an offset");
        record(file, |file| Op::Write {
            file,
            offset: offset_bytes,
            data,
        });
        let write = methods(file).xWrite.expect("the VFS below is complete");
        write(inner(file), buffer, amount, offset)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite calls this for an open file.
    unsafe {
        let bytes = usize::try_from(size).expect("a size");
        record(file, |file| Op::Truncate { file, size: bytes });
        methods(file).xTruncate.expect("the VFS below is complete")(inner(file), size)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite calls this for an open file, and for one at a time.
    unsafe {
        let directory = std::mem::take(&mut (*file.cast::<File>()).syncs_directory);
        record(file, |file| Op::Sync { file, directory });
    }
    ffi::SQLITE_OK
}

/// Version 2: with shared memory for the WAL, without memory-mapped reads.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_lock),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(device),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
