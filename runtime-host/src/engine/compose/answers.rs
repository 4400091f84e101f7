//! The constants that the adapter answers with: a refusal, as far as the type of a function's result offers one.
//!
//! A refusal is an error (`access-denied` before all others), an empty list or no value. So a dependency sees no
//! environment, no folder and no store, as under Spin, and its standard library starts.

use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDefKind};

/// Cases that say that something is not allowed, as the interfaces of WASI and Spin name them.
const REFUSALS: [&str; 4] = ["access-denied", "HTTP-request-denied", "destination-not-allowed", "model-not-supported"];

/// No value of the canonical ABI needs a coarser alignment.
pub(super) const ALIGNMENT_BYTES_MAX: usize = 8;

/// A constant result.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    /// Where it lies in memory.
    pub(super) address: u32,
    /// The first byte, which for a result of one number is all of it.
    pub(super) tag: u8,
}

/// The results of all functions, as they lie in linear memory from address 0.
pub(super) struct Answers<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    memory: Vec<u8>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(resolve: &'a Resolve) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, memory: Vec::new() }
    }

    /// Lays out a refusal by a function of `interface`; `None` where its result cannot be one.
    pub(super) fn add(&mut self, result: &Type, interface: &str) -> Option<Answer> {
        let address = self.memory.len().next_multiple_of(ALIGNMENT_BYTES_MAX);
        // All zero is the empty list and no value.
        self.memory.resize(address + self.sizes.size(result).size_wasm32(), 0);
        match kind(self.resolve, result)? {
            TypeDefKind::List(_) | TypeDefKind::Option(_) => (),
            TypeDefKind::Result(result) => {
                self.memory[address] = 1;
                if let Some(error) = &result.err {
                    let offset = self.sizes.payload_offset(Int::U8, [result.ok.as_ref(), Some(error)]);
                    self.write_error(address + offset.size_wasm32(), error, interface)?;
                }
            }
            _ => return None,
        }
        Some(Answer { address: u32::try_from(address).ok()?, tag: self.memory[address] })
    }

    /// The linear memory.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.memory
    }

    fn write_error(&mut self, address: usize, error: &Type, interface: &str) -> Option<()> {
        if *error == Type::String {
            return self.write_text(address, interface);
        }
        match kind(self.resolve, error)? {
            TypeDefKind::Enum(error) => {
                let case = choose(error.cases.iter().map(|case| (case.name.as_str(), true)))?;
                self.write_tag(address, error.tag(), case);
            }
            TypeDefKind::Variant(error) => {
                let fits = |payload: &Option<Type>| payload.is_none_or(|payload| self.is_text(&payload));
                let case = choose(error.cases.iter().map(|case| (case.name.as_str(), fits(&case.ty))))?;
                self.write_tag(address, error.tag(), case);
                if error.cases[case].ty == Some(Type::String) {
                    let payloads = error.cases.iter().map(|case| case.ty.as_ref());
                    let offset = self.sizes.payload_offset(error.tag(), payloads);
                    self.write_text(address + offset.size_wasm32(), interface)?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A string, or an option, which is left without a value.
    fn is_text(&self, ty: &Type) -> bool {
        *ty == Type::String || matches!(kind(self.resolve, ty), Some(TypeDefKind::Option(_)))
    }

    fn write_tag(&mut self, address: usize, tag: Int, case: usize) {
        let size = match tag {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 | Int::U64 => 4,
        };
        self.memory[address..address + size].copy_from_slice(&case.to_le_bytes()[..size]);
    }

    /// A string with the reason: its address and its length.
    fn write_text(&mut self, address: usize, interface: &str) -> Option<()> {
        let text = format!("`{interface}` is denied, because the dependency does not inherit it");
        let start = u32::try_from(self.memory.len()).ok()?;
        let length = u32::try_from(text.len()).ok()?;
        self.memory.extend_from_slice(text.as_bytes());
        self.memory[address..address + 4].copy_from_slice(&start.to_le_bytes());
        self.memory[address + 4..address + 8].copy_from_slice(&length.to_le_bytes());
        Some(())
    }
}

/// The case of an error that is a refusal: one that says so, or else the last that fits, by custom that for the rest.
fn choose<'a>(cases: impl Iterator<Item = (&'a str, bool)>) -> Option<usize> {
    let cases: Vec<_> = cases.collect();
    let refusal = cases.iter().position(|(name, fits)| *fits && REFUSALS.contains(name));
    refusal.or_else(|| cases.iter().rposition(|(_, fits)| *fits))
}

/// What a type is, behind its aliases; `None` for a primitive.
pub(super) fn kind<'a>(resolve: &'a Resolve, ty: &Type) -> Option<&'a TypeDefKind> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Type(alias) => kind(resolve, alias),
        kind => Some(kind),
    }
}
