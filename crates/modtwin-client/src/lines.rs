//! Cuts a stream of bytes into lines, with a bound on how long one may be.

/// Bytes that have come and are not yet given out as lines.
#[derive(Debug)]
pub(crate) struct LineBuffer {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// How far a line feed was looked for.
    searched: usize,
    limit: usize,
}

/// A line is longer than the limit, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong(pub(crate) usize);

impl LineBuffer {
    /// An empty buffer for lines of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, limit }
    }

    /// Takes in what has come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Gives out the next whole line without its line feed; none where it has not all come.
    pub(crate) fn next_line(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(found) => {
                let end = self.searched + found;
                let start = std::mem::replace(&mut self.start, end + 1);
                self.searched = self.start;
                let line = self.bytes.get(start..end).unwrap_or_default();
                if line.len() > self.limit { Err(TooLong(self.limit)) } else { Ok(Some(line)) }
            }
            None => {
                self.searched = self.bytes.len();
                let waiting = self.bytes.len() - self.start;
                if waiting > self.limit { Err(TooLong(self.limit)) } else { Ok(None) }
            }
        }
    }

    /// Says whether part of a line has come.
    pub(crate) fn is_within_a_line(&self) -> bool {
        self.start < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes `chunks` one by one and gathers the lines that come out.
    fn lines(limit: usize, chunks: &[&str]) -> Result<Vec<String>, TooLong> {
        let mut buffer = LineBuffer::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.push(chunk.as_bytes());
            while let Some(line) = buffer.next_line()? {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        Ok(lines)
    }

    #[test]
    fn lines_come_out_whole_however_they_came_in() {
        let expected = Ok(vec!["one".to_owned(), String::new(), "two".to_owned()]);
        assert_eq!(lines(9, &["one\n\ntwo\n"]), expected);
        assert_eq!(lines(9, &["o", "ne", "\n\nt", "wo", "\n", "rest"]), expected);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer() {
        assert_eq!(lines(3, &["abc\n", "def\n"]), Ok(vec!["abc".to_owned(), "def".to_owned()]));
        assert_eq!(lines(3, &["abcd\n"]), Err(TooLong(3)));
        assert_eq!(lines(3, &["ab", "cd"]), Err(TooLong(3)));
    }

    #[test]
    fn part_of_a_line_is_known_as_such() {
        let mut buffer = LineBuffer::new(9);
        buffer.push(b"a\nb");
        assert!(buffer.is_within_a_line());
        assert_eq!(buffer.next_line(), Ok(Some(&b"a"[..])));
        assert!(buffer.is_within_a_line());
        buffer.push(b"\n");
        assert_eq!(buffer.next_line(), Ok(Some(&b"b"[..])));
        assert!(!buffer.is_within_a_line());
    }
}
