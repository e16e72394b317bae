//! A status in a few lines of text.

use core::fmt::{self, Display, Formatter};

use super::health::Verdict;
use super::status::Status;
use crate::text::Printable;

/// The segment, its owner and its map, a line for each; then what is wrong, and
/// the remarks.
///
/// The text is for people and may change; programs read the fields.
impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "segment {:#010x}, generation {}", self.key, self.generation)?;
        match (&self.path, self.shm_id) {
            (Some(path), _) => write!(f, " at {}", Printable(path.display()))?,
            (None, Some(id)) => write!(f, " at shmid {id}")?,
            (None, None) => {}
        }
        write!(f, "\nowner ")?;
        match (self.owner_pid, self.owner_alive) {
            (Some(pid), true) => write!(f, "{pid}")?,
            (Some(pid), false) => write!(f, "{pid} (gone)")?,
            (None, true) => write!(f, "alive")?,
            (None, false) => write!(f, "none")?,
        }
        write!(f, ", term {}", self.term)?;
        if let Some(age) = self.tended_age {
            write!(f, ", tended {age:?} ago")?;
        }
        write!(f, "\nmap {}", self.sequence)?;
        if let Some(name) = &self.cluster_name {
            write!(f, " of cluster {}", Printable(name))?;
        }
        write!(f, ": {} nodes, {} namespaces", self.nodes, self.namespaces.len())?;
        match self.verdict() {
            Verdict::Healthy => write!(f, "\nhealthy")?,
            Verdict::Unhealthy(problems) => {
                for problem in problems {
                    write!(f, "\nproblem: {}", Printable(problem))?;
                }
            }
        }
        for remark in self.remarks() {
            write!(f, "\nremark: {}", Printable(remark))?;
        }
        Ok(())
    }
}
