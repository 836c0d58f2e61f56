//! The core as a whole: every mutation, every refusal, properties of any sequence, and the formats.

mod audit;
mod batches;
mod build;
mod documents;
mod every_mutation;
mod formats;
mod keys;
mod nodes;
mod properties;
mod refusals;
mod registration;
mod restores;
mod seals;
