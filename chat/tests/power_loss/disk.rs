//! A disk without power: what may be on it at any moment of a recorded run.
//!
//! What was synced is there. Of what was written since, each write may be there, missing, or torn at a
//! sector's boundary, whatever came after it; a file made or deleted since its directory was last
//! synced may be there or not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

/// What a disk writes whole. Modern ones write more at once; none less.
const SECTOR: usize = 512;

/// One change, in the order in which they happened.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create {
        file: usize,
    },
    Write {
        file: usize,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: usize,
        size: usize,
    },
    Sync {
        file: usize,
        directory: bool,
    },
    Delete {
        file: usize,
        directory: bool,
    },
    /// Not a change: from here on, somebody has been told of this.
    Told(usize),
}

/// Everything that happened, and the names of the files.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    state: Mutex<Recorded>,
}

/// A recording.
#[derive(Debug, Default, Clone)]
pub(crate) struct Recorded {
    pub(crate) names: Vec<String>,
    pub(crate) ops: Vec<Op>,
}

impl Recorder {
    pub(crate) fn record(&self, op: Op) {
        self.state.lock().unwrap().ops.push(op);
    }

    /// A file was opened; gives its number.
    pub(crate) fn opened(&self, name: &str, existed: bool) -> usize {
        let mut state = self.state.lock().unwrap();
        let known = state.names.iter().position(|known| known == name);
        let file = known.unwrap_or_else(|| {
            state.names.push(name.to_owned());
            state.names.len() - 1
        });
        if !existed {
            state.ops.push(Op::Create { file });
        }
        file
    }

    pub(crate) fn deleted(&self, name: &str, directory: bool) {
        let mut state = self.state.lock().unwrap();
        if let Some(file) = state.names.iter().position(|known| known == name) {
            state.ops.push(Op::Delete { file, directory });
        }
    }

    pub(crate) fn recorded(&self) -> Recorded {
        self.state.lock().unwrap().clone()
    }
}

/// Where the disk stands while a recording is played.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<usize, FileOnDisk>,
}

#[derive(Debug, Default)]
struct FileOnDisk {
    synced: Vec<u8>,
    since: Vec<Change>,
    /// Whether its name is in the directory: on the disk, and as programs see it.
    named_on_disk: bool,
    named: bool,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate { size: usize },
}

/// What happens to writes that were not synced.
#[derive(Debug, Clone, Copy)]
enum Fate {
    AllLost,
    AllKept,
    EachByItself,
    EachSectorByItself,
    AllUpToOne,
}

impl Disk {
    /// The next change.
    pub(crate) fn play(&mut self, op: &Op) {
        match op {
            Op::Create { file } => {
                let file = self.files.entry(*file).or_default();
                file.named = true;
                file.synced.clear();
                file.since.clear();
            }
            Op::Write { file, offset, data } => {
                let change = Change::Write {
                    offset: *offset,
                    data: data.clone(),
                };
                self.files.entry(*file).or_default().since.push(change);
            }
            Op::Truncate { file, size } => {
                self.files
                    .entry(*file)
                    .or_default()
                    .since
                    .push(Change::Truncate { size: *size });
            }
            Op::Sync { file, directory } => {
                let file = self.files.entry(*file).or_default();
                for change in file.since.drain(..) {
                    apply(&mut file.synced, &change, |_| true);
                }
                self.sync_directory(*directory);
            }
            Op::Delete { file, directory } => {
                self.files.entry(*file).or_default().named = false;
                self.sync_directory(*directory);
            }
            Op::Told(_) => {}
        }
    }

    fn sync_directory(&mut self, really: bool) {
        if really {
            for file in self.files.values_mut() {
                file.named_on_disk = file.named;
            }
        }
    }

    /// The power goes, now: writes one of the possible states of the disk into a directory.
    pub(crate) fn cut(&self, names: &[String], dir: &Path, chance: &mut Chance) {
        let fate = match chance.below(5) {
            0 => Fate::AllLost,
            1 => Fate::AllKept,
            2 => Fate::EachByItself,
            3 => Fate::EachSectorByItself,
            _ => Fate::AllUpToOne,
        };
        for (number, file) in &self.files {
            let there = match (file.named_on_disk, file.named) {
                (on_disk, named) if on_disk == named => named,
                _ => chance.coin(),
            };
            if there {
                let bytes = file.after(fate, chance);
                std::fs::write(dir.join(&names[*number]), bytes).unwrap();
            }
        }
    }
}

impl FileOnDisk {
    fn after(&self, fate: Fate, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let last = chance.below(self.since.len() + 1);
        for (index, change) in self.since.iter().enumerate() {
            let kept = match fate {
                Fate::AllLost => false,
                Fate::AllKept => true,
                Fate::EachByItself => chance.coin(),
                Fate::EachSectorByItself => {
                    apply(&mut bytes, change, |_| chance.coin());
                    continue;
                }
                Fate::AllUpToOne if index == last => {
                    let torn_at = chance.below(9);
                    apply(&mut bytes, change, |sector| sector < torn_at);
                    continue;
                }
                Fate::AllUpToOne => index < last,
            };
            if kept {
                apply(&mut bytes, change, |_| true);
            }
        }
        bytes
    }
}

/// Applies those sectors of a change that are kept; they are counted from the change's beginning.
fn apply(bytes: &mut Vec<u8>, change: &Change, mut keep: impl FnMut(usize) -> bool) {
    match change {
        Change::Truncate { size } => {
            if keep(0) {
                bytes.resize(*size, 0);
            }
        }
        Change::Write { offset, data } => {
            let (mut from, mut sector) = (0, 0);
            while from < data.len() {
                let to = ((offset + from) / SECTOR * SECTOR + SECTOR - offset).min(data.len());
                if keep(sector) {
                    if bytes.len() < offset + to {
                        bytes.resize(offset + to, 0);
                    }
                    bytes[offset + from..offset + to].copy_from_slice(&data[from..to]);
                }
                (from, sector) = (to, sector + 1);
            }
        }
    }
}

/// Seeded chance (SplitMix64): the same seed, the same run.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("less than a usize")
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}
