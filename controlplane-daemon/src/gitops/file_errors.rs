//! Which files are in error, as a metric. A series is there as long as the node runs, so that only so many are named.

use std::collections::{BTreeMap, BTreeSet};

use super::status::FileStatus;

const MOST: usize = 100;
const OTHER: &str = "_other";

#[derive(Debug, Default)]
pub(super) struct FileErrors {
    named: BTreeSet<String>,
}

impl FileErrors {
    pub(super) fn record(&mut self, files: &[FileStatus]) {
        let broken = files.iter().filter(|file| !file.errors.is_empty());
        for (path, in_error) in self.told(broken.map(|file| file.path.as_str())) {
            metrics::gauge!("hj_cp_gitops_file_errors", "path" => path).set(in_error);
        }
    }

    /// 1 for each named file that is in error, 0 for those that are no longer; and how many more are.
    fn told<'a>(&mut self, broken: impl Iterator<Item = &'a str>) -> BTreeMap<String, u32> {
        let mut told: BTreeMap<_, _> = self.named.iter().map(|path| (path.clone(), 0)).collect();
        let mut others = 0;
        for path in broken {
            if self.named.len() < MOST {
                self.named.insert(path.to_owned());
            }
            if self.named.contains(path) {
                told.insert(path.to_owned(), 1);
            } else {
                others += 1;
            }
        }
        told.insert(OTHER.to_owned(), others);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_while_and_after_it_is_in_error_and_the_rest_are_counted() {
        let mut errors = FileErrors::default();
        let told = |pairs: &[(&str, u32)]| pairs.iter().map(|(path, value)| ((*path).to_owned(), *value)).collect();
        assert_eq!(errors.told(["a", "b"].into_iter()), told(&[("a", 1), ("b", 1), (OTHER, 0)]));
        assert_eq!(errors.told(["b"].into_iter()), told(&[("a", 0), ("b", 1), (OTHER, 0)]));
        let many: Vec<String> = (0..MOST).map(|number| format!("file-{number}")).collect();
        let all = errors.told(many.iter().map(String::as_str));
        assert_eq!((all.len(), all["a"], all["file-0"], all[OTHER]), (MOST + 1, 0, 1, 2));
        assert_eq!(errors.told(std::iter::empty()).values().sum::<u32>(), 0);
    }
}
