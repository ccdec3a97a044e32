//! `limits`, in the kernel's terms.

use crate::parse::process::Resource;
use crate::sys::process::Bound;

/// What the kernel calls this resource.
pub fn bound(resource: Resource) -> Bound {
    match resource {
        Resource::Memory => Bound::Data,
        Resource::Processes => Bound::Processes,
        Resource::OpenFiles => Bound::Descriptors,
        Resource::FileSize => Bound::FileSize,
        Resource::CpuTime => Bound::Cpu,
    }
}
