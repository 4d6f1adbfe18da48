// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit

// Handle is the open file of a trail.
type Handle = handle

// Wrap puts wrap around the file that is open, and around those that will be.
func (t *Trail) Wrap(wrap func(Handle) Handle) {
	open := t.open
	t.open = func(path string) (handle, error) {
		f, err := open(path)
		if err != nil {
			return nil, err
		}
		return wrap(f), nil
	}
	t.file = wrap(t.file)
}

// RecentRoom is how many events are remembered.
const RecentRoom = recentRoom

// Parse reads one line, and writes it again.
func Parse(raw []byte) (again []byte, err error) {
	l, err := parse(raw)
	if err != nil {
		return nil, err
	}
	again, _ = appendLine(nil, l.Seq, l.At, l.Prev, l.Kind, l.Data)
	return again, nil
}
