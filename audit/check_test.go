// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package audit_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/audit"
)

// bigTrail has 10,000 events in some files.
func bigTrail(t *testing.T) (pages, audit.Expect) {
	t.Helper()
	dir := t.TempDir()
	key, public := newKey(t)
	trail := open(t, audit.Config{Dir: dir, Key: key, SkipSync: true, MaxBytes: 900_000})
	deliver(t, trail, 1, 10_000)
	require.NoError(t, trail.Close())
	return readPages(t, dir), audit.Expect{Keys: []ed25519.PublicKey{public}, Known: trail.Head()}
}

// smallTrail has every kind of line in every place: two crashes, of a line and of the first line of a file.
func smallTrail(t *testing.T) (pages, audit.Expect) {
	t.Helper()
	dir := t.TempDir()
	key, public := newKey(t)
	cfg := audit.Config{Dir: dir, Key: key, Every: 3, MaxBytes: 4500}
	needTrails(t)
	synctest.Test(t, func(t *testing.T) { // where every line has the same time, and the files the same sizes in every run
		for n := 0; n < 40; n += 10 {
			trail := open(t, cfg)
			deliver(t, trail, n+1, n+10)
			require.NoError(t, trail.Close())
			p := readPages(t, dir)
			switch n {
			case 10:
				p[p.last()] = append(p[p.last()], "\x00\x00torn\nin {\"two\":")
			case 20:
				p["trail-"+fmt.Sprintf("%09d", len(p)+1)+".jsonl"] = []string{`{"v":1,"seq":`}
			}
			p.write(t, dir)
		}
	})
	return readPages(t, dir), audit.Expect{Keys: []ed25519.PublicKey{public}, Every: 3, Known: head(t, dir)}
}

func (p pages) check(want audit.Expect) (audit.Report, error) { return audit.Check(p.fs(), want) }

// place is a line of a trail; n counts from 0.
type place struct {
	name string
	n    int
}

func (p pages) places() []place {
	var out []place
	for _, name := range p.names() {
		for n := range p[name] {
			out = append(out, place{name, n})
		}
	}
	return out
}

// meddler makes one change and says which line is the first that does not fit then; line 0: the file.
type meddler func(p pages, at place, r *rand.Rand) (file string, line int)

// after is the place of the line that follows what was there before n lines of the file of at were left.
func after(p pages, at place) (string, int) {
	if at.n < len(p[at.name]) {
		return at.name, at.n + 1
	}
	names := p.names()
	if i := slices.Index(names, at.name); i+1 < len(names) {
		return names[i+1], 1
	}
	return at.name, len(p[at.name]) // the end is missing
}

var meddlers = map[string]meddler{
	"changed": func(p pages, at place, r *rand.Rand) (string, int) {
		line := []byte(p[at.name][at.n])
		line[r.IntN(len(line))] ^= byte(1 + r.IntN(255))
		p[at.name][at.n] = string(line)
		return at.name, at.n + 1
	},
	"removed": func(p pages, at place, _ *rand.Rand) (string, int) {
		p[at.name] = slices.Delete(p[at.name], at.n, at.n+1)
		return after(p, at)
	},
	"repeated": func(p pages, at place, _ *rand.Rand) (string, int) {
		p[at.name] = slices.Insert(p[at.name], at.n, p[at.name][at.n])
		return at.name, at.n + 2
	},
	"inserted junk": func(p pages, at place, _ *rand.Rand) (string, int) {
		p[at.name] = slices.Insert(p[at.name], at.n, "junk\n")
		return at.name, at.n + 1
	},
	"inserted a line from elsewhere": func(p pages, at place, r *rand.Rand) (string, int) {
		all := p.places()
		for {
			from := all[r.IntN(len(all))]
			if line := p[from.name][from.n]; line != p[at.name][at.n] {
				p[at.name] = slices.Insert(p[at.name], at.n, line)
				return at.name, at.n + 1
			}
		}
	},
	"swapped with the next": func(p pages, at place, _ *rand.Rand) (string, int) {
		name, n := after(p, place{at.name, at.n + 1})
		if (place{name, n - 1}) == at { // the last line: with the one before
			at.n--
		}
		p[at.name][at.n], p[name][n-1] = p[name][n-1], p[at.name][at.n]
		return at.name, at.n + 1
	},
	"swapped with another": func(p pages, at place, r *rand.Rand) (string, int) {
		all := p.places()
		for {
			to := all[r.IntN(len(all))]
			if p[to.name][to.n] == p[at.name][at.n] || besideTorn(p, to) {
				continue
			}
			p[at.name][at.n], p[to.name][to.n] = p[to.name][to.n], p[at.name][at.n]
			if to.name < at.name || to.name == at.name && to.n < at.n {
				at = to
			}
			return at.name, at.n + 1
		}
	},
	"cut off in the middle": func(p pages, at place, r *rand.Rand) (string, int) {
		line := p[at.name][at.n]
		p[at.name][at.n] = line[:r.IntN(len(line))]
		p[at.name] = slices.DeleteFunc(p[at.name][:at.n+1], func(s string) bool { return s == "" })
		for name := range p {
			if name > at.name {
				delete(p, name)
			}
		}
		if len(p[at.name]) == at.n { // nothing is left of it
			return at.name, at.n
		}
		return at.name, at.n + 1
	},
	"cut off": func(p pages, at place, _ *rand.Rand) (string, int) {
		p[at.name] = p[at.name][:at.n+1]
		for name := range p {
			if name > at.name {
				delete(p, name)
			}
		}
		return at.name, at.n + 1
	},
}

// meddle tries one change at a place. The end that is cut off after the last line is no change.
func meddle(t *testing.T, p pages, want audit.Expect, name string, at place, r *rand.Rand) {
	t.Helper()
	last := at.name == p.last() && at.n == len(p[at.name])-1
	if name == "cut off" && last {
		return
	}
	q := p.clone()
	file, line := meddlers[name](q, at, r)
	_, err := q.check(want)
	brokenAt(t, err, file, line, name, at)
}

func TestOneChangeInABigTrail(t *testing.T) {
	p, want := bigTrail(t)
	r := rand.New(rand.NewPCG(1, 2))
	report, err := p.check(want)
	require.NoError(t, err)
	require.EqualValues(t, 10_000, report.Events)
	require.Greater(t, len(p), 4)

	all := p.places()
	second := p.names()[1]
	places := []place{all[0], all[1], all[len(all)-1], {second, 0}, {second, 1}, {second, len(p[second]) - 1}}
	kinds := slices.Sorted(maps.Keys(meddlers))
	for len(places)*len(kinds) < changesOfBigTrail {
		places = append(places, all[r.IntN(len(all))])
	}
	for i := range changesOfBigTrail { // every kind at every place, unless there is no time for it
		meddle(t, p, want, kinds[i%len(kinds)], places[i/len(kinds)], r)
	}
}

func TestEveryChangeInASmallTrail(t *testing.T) {
	p, want := smallTrail(t)
	report, err := p.check(want)
	require.NoError(t, err)
	require.EqualValues(t, 2, report.Healed)
	require.EqualValues(t, 40, report.Events)
	var kinds []string
	for _, name := range p.names() {
		kinds = append(kinds, kindsOf(t, p[name])...)
	}
	for _, k := range []string{"begin", "event", "checkpoint", "healed", "torn"} {
		require.Contains(t, kinds, k)
	}

	r := rand.New(rand.NewPCG(3, 4))
	for _, at := range p.places() {
		if besideTorn(p, at) {
			continue // see TestWhatACrashLeftMayNotBeChanged
		}
		for _, name := range slices.Sorted(maps.Keys(meddlers)) {
			meddle(t, p, want, name, at, r)
		}
	}
}

// besideTorn reports whether the line, or one beside it, is what a crash left: then the whole of it is named by its first line.
func besideTorn(p pages, at place) bool {
	all := p.places()
	i := slices.Index(all, at)
	return slices.ContainsFunc(all[max(i-1, 0):min(i+2, len(all))], func(near place) bool {
		return !envelope.MatchString(p[near.name][near.n])
	})
}

func TestWhatACrashLeftMayNotBeChanged(t *testing.T) {
	p, want := smallTrail(t)
	n := 0
	for _, at := range p.places() {
		if !besideTorn(p, at) {
			continue
		}
		for name, m := range meddlers {
			for seed := range uint64(5) {
				q := p.clone()
				m(q, at, rand.New(rand.NewPCG(seed, 5)))
				_, err := q.check(want)
				var broken *audit.BrokenError
				require.ErrorAs(t, err, &broken, name, at)
				if broken.File == at.name {
					require.InDelta(t, at.n+1, broken.Line, 3, name, at)
				}
				n++
			}
		}
	}
	require.Greater(t, n, 100)
}

func TestFilesMayNotBeMeddledWith(t *testing.T) {
	p, want := smallTrail(t)
	names := p.names()
	second, third := names[1], names[2]
	for name, c := range map[string]struct {
		do   func(q pages)
		file string
		line int
	}{
		"first removed":  {func(q pages) { delete(q, names[0]) }, second, 1},
		"second removed": {func(q pages) { delete(q, second) }, third, 1},
		"last removed":   {func(q pages) { delete(q, p.last()) }, names[len(names)-2], len(p[names[len(names)-2]])},
		"two swapped":    {func(q pages) { q[second], q[third] = q[third], q[second] }, second, 1},
		"one repeated":   {func(q pages) { q["trail-000000099.jsonl"] = q[second] }, "trail-000000099.jsonl", 1},
		"one renamed":    {func(q pages) { q["trail-000000099.jsonl"] = q[p.last()]; delete(q, p.last()) }, "trail-000000099.jsonl", 1},
		"one emptied":    {func(q pages) { q[second] = nil }, second, 0},
		"last emptied":   {func(q pages) { q[p.last()] = nil }, p.last(), 0},
		"two joined":     {func(q pages) { q[second] = append(q[second], q[third]...); delete(q, third) }, second, len(p[second]) + 1},
		"one split":      {func(q pages) { q["trail-000000099.jsonl"] = q[p.last()][3:]; q[p.last()] = q[p.last()][:3] }, "trail-000000099.jsonl", 1},
		"no newline at the end": {func(q pages) {
			lines := q[p.last()]
			lines[len(lines)-1] = strings.TrimSuffix(lines[len(lines)-1], "\n")
		}, p.last(), len(p[p.last()])},
		"all removed":      {func(q pages) { clear(q) }, "", 0},
		"newlines changed": {func(q pages) { q[second][0] = strings.Replace(q[second][0], "\n", "\r\n", 1) }, second, 1},
	} {
		q := p.clone()
		c.do(q)
		_, err := q.check(want)
		brokenAt(t, err, c.file, c.line, name)
	}
	q := p.fs()
	q["trail.lock"], q["trail-1.jsonl"], q["notes.txt"] = &fstest.MapFile{}, &fstest.MapFile{Data: []byte("x")}, &fstest.MapFile{}
	_, err := audit.Check(q, want)
	require.NoError(t, err, "other files are not of the trail")
}

// A forger rewrites an event and computes the whole chain anew, with what can be had without the private key.
func TestForgers(t *testing.T) {
	dir := t.TempDir()
	key, public := newKey(t)
	const every = 10
	cfg := audit.Config{Dir: dir, Key: key, Every: every, MaxBytes: 20_000}
	trail := open(t, cfg)
	deliver(t, trail, 1, 95)
	known := trail.Head()
	deliver(t, trail, 96, 100)
	require.NoError(t, trail.Close())
	p := readPages(t, dir)
	require.Greater(t, len(p), 1)
	keys := audit.Expect{Keys: []ed25519.PublicKey{public}, Every: every}
	noCheckpoints := func(q pages) pages {
		for name := range q {
			q[name] = slices.DeleteFunc(q[name], func(s string) bool { return strings.Contains(s, `"checkpoint":{`) })
		}
		return q
	}
	rewrite := func(n int) pages { // the nth event
		q := p.clone()
		for name := range q {
			for i := range q[name] {
				q[name][i] = strings.Replace(q[name][i], fmt.Sprintf(`\u003c%d\u003e was told`, n), "nobody was told", 1)
			}
		}
		require.NotEqual(t, p, q)
		return q
	}
	_, foreign, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)

	for _, n := range []int{1, 2, 33, 50, 90} {
		forged := forge(t, rewrite(n))
		_, err := forged.check(audit.Expect{})
		require.NoError(t, err, "without a key and a known head nothing shows: the package comment says so")
		_, err = forged.check(keys)
		require.ErrorContains(t, err, "its signature is wrong", n)
		line, _ := brokenLine(t, err, forged)
		require.Contains(t, line, `"checkpoint":{`)
		_, err = forged.check(audit.Expect{Known: known})
		require.ErrorContains(t, err, "is not the line", n)

		_, err = resign(t, forged, foreign).check(keys)
		require.ErrorContains(t, err, "a key that is not expected", n)
		_, err = forge(t, noCheckpoints(rewrite(n))).check(keys)
		require.ErrorContains(t, err, "checkpoints were removed", n)
	}

	t.Run("what is not found", func(t *testing.T) {
		q := p.clone() // everything after the last checkpoint but one
		name := q.last()
		lastButOne := -1
		for i, k := range kindsOf(t, q[name][:len(q[name])-1]) {
			if k == "checkpoint" {
				lastButOne = i
			}
		}
		require.Greater(t, lastButOne, 0)
		q[name] = q[name][:lastButOne+1]
		r, err := q.check(keys)
		require.NoError(t, err)
		require.Zero(t, r.Unsigned)
		_, err = q.check(audit.Expect{Known: trail.Head()})
		brokenAt(t, err, name, lastButOne+1)
		require.ErrorContains(t, err, "its end was cut off")
	})
	t.Run("checkpoints are optional where the auditor says so", func(t *testing.T) {
		loose := keys
		loose.Every = -1
		r, err := forge(t, noCheckpoints(p.clone())).check(loose)
		require.NoError(t, err)
		require.EqualValues(t, 100, r.Unsigned)
		require.Zero(t, r.Signed)
	})
	t.Run("several keys", func(t *testing.T) {
		next, nextPublic := newKey(t)
		cfg.Key = next
		trail := open(t, cfg)
		deliver(t, trail, 101, 130)
		require.NoError(t, trail.Close())
		_, err := audit.Check(os.DirFS(dir), keys)
		require.ErrorContains(t, err, "a key that is not expected")
		keys.Keys = append(keys.Keys, nextPublic)
		_, err = audit.Check(os.DirFS(dir), keys)
		require.NoError(t, err)
	})
	t.Run("a trail that got its key late is signed at once", func(t *testing.T) {
		dir := t.TempDir()
		cfg := audit.Config{Dir: dir, Every: every}
		trail := open(t, cfg)
		deliver(t, trail, 1, 15)
		require.NoError(t, trail.Close())
		cfg.Key = key
		trail = open(t, cfg)
		r, err := audit.Check(os.DirFS(dir), audit.Expect{Keys: []ed25519.PublicKey{public}, Every: -1})
		require.NoError(t, err)
		require.Equal(t, trail.Head(), r.Signed)
	})
}

// A chain that is whole says the same in its content: what a forger, or a mistake of the writer, gets wrong there shows without keys.
func TestContentThatDoesNotFit(t *testing.T) {
	p, _ := smallTrail(t)
	for name := range p { // what a crash left would have to be forged too
		p[name] = slices.DeleteFunc(p[name], func(s string) bool { return !envelope.MatchString(s) || strings.Contains(s, `"healed":{`) })
		for i, line := range p[name] {
			p[name][i] = regexp.MustCompile(`,"torn":\{[^}]*\}`).ReplaceAllString(line, "")
		}
	}
	p = forge(t, p)
	_, err := p.check(audit.Expect{})
	require.NoError(t, err)
	second := p.names()[1]
	for name, c := range map[string]struct{ old, new, why string }{ // in the second file, at the first place
		"name":                 {`"file":"trail-000000002.jsonl"`, `"file":"trail-000000003.jsonl"`, "the file was trail-000000003.jsonl"},
		"file before":          {`"after":"trail-000000001.jsonl"`, `"after":""`, `written after the file ""`},
		"events of begin":      {`"events":(\d+)}`, `"events":1$1}`, "events before it, and there are "},
		"events of checkpoint": {`"checkpoint":{"events":`, `"checkpoint":{"events":1`, "events before it, and there are "},
	} {
		q, old := p.clone(), regexp.MustCompile(c.old)
		at := slices.IndexFunc(q[second], old.MatchString)
		require.GreaterOrEqual(t, at, 0, name)
		q[second][at] = old.ReplaceAllString(q[second][at], c.new)
		_, err := forge(t, q).check(audit.Expect{})
		brokenAt(t, err, second, at+1, name)
		require.ErrorContains(t, err, c.why)
	}
	q := p.clone()
	q[second] = slices.Insert(q[second], 2, q[second][0])
	_, err = forge(t, q).check(audit.Expect{})
	brokenAt(t, err, second, 3)
	require.ErrorContains(t, err, "another file begins here")
	q = p.clone()
	q[second] = slices.Delete(q[second], 2, 3)
	_, err = q.check(audit.Expect{})
	require.ErrorContains(t, err, "lines are missing")
}

// A line has one form.
func TestOtherFormsOfALine(t *testing.T) {
	p, _ := smallTrail(t)
	for _, c := range []struct{ kind, old, new string }{
		{"event", `"seq":`, `"seq":0`},
		{"event", `"seq":`, `"seq":+`},
		{"event", `Z","prev"`, `+00:00","prev"`},
		{"event", `"event":{`, `"event":[{`},
		{"event", `"event":{`, `"other":{`},
		{"event", `"text":"`, `"text":"\`},
		{"begin", `"begin":{`, `"begin":{ `},
		{"begin", `"begin":{`, `"begin":{"more":1,`},
		{"begin", `"file"`, `"File"`},
		{"checkpoint", `"sig":"`, `"sig":"a`},
		{"checkpoint", `"key":"`, `"key":"a`},
	} {
		lines := p["trail-000000001.jsonl"]
		line := lines[slices.Index(kindsOf(t, lines), c.kind)]
		raw := []byte(strings.TrimSuffix(line, "\n"))
		again, err := audit.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, line, string(again))
		body, _, _ := strings.Cut(line, `,"hash":"`)
		require.Contains(t, body, c.old)
		other := rehash(strings.Replace(body, c.old, c.new, 1))
		_, err = audit.Parse([]byte(strings.TrimSuffix(other, "\n")))
		require.Error(t, err, other)
	}
}

func brokenLine(t *testing.T, err error, p pages) (string, *audit.BrokenError) {
	t.Helper()
	var broken *audit.BrokenError
	require.ErrorAs(t, err, &broken)
	require.Equal(t, broken.Error(), broken.Public())
	return p[broken.File][broken.Line-1], broken
}

func TestExpectNamesItsMistakes(t *testing.T) {
	_, err := audit.Check(fstest.MapFS{}, audit.Expect{
		Known: audit.Head{Sequence: 3, Hash: "abc"}, From: audit.Head{Hash: strings.Repeat("0", 64)}, Keys: []ed25519.PublicKey{{1}},
	})
	for _, want := range []string{"Expect.Keys[0]", "Expect.Known", "Expect.From"} {
		require.ErrorContains(t, err, want)
	}
}

func TestCheckReader(t *testing.T) {
	p, want := smallTrail(t)
	r, err := audit.CheckReader(strings.NewReader(string(joined(p))), want)
	require.NoError(t, err)
	all, err := p.check(want)
	require.NoError(t, err)
	all.Files = 1
	require.Equal(t, all, r)

	_, err = audit.CheckReader(strings.NewReader(string(joined(p))[1:]), want)
	brokenAt(t, err, "", 1)
	_, err = audit.CheckReader(strings.NewReader(""), audit.Expect{})
	brokenAt(t, err, "", 0)
	_, err = audit.CheckReader(strings.NewReader(strings.Replace(string(joined(p)), `{"v":1,`, `{"v":2,`, 1)), want)
	brokenAt(t, err, "", 1)

	dead := errors.New("dead")
	_, err = audit.CheckReader(iotest.ErrReader(dead), want)
	require.ErrorIs(t, err, dead)
	_, err = audit.Check(os.DirFS(filepath.Join(t.TempDir(), "none")), want)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestANewerFormat(t *testing.T) {
	p, _ := smallTrail(t)
	line := strings.Replace(p["trail-000000001.jsonl"][0], `{"v":1,`, `{"v":2,`, 1)
	body := line[:strings.Index(line, `,"hash":"`)]
	_, err := audit.CheckReader(strings.NewReader(rehash(body)), audit.Expect{})
	require.ErrorContains(t, err, "newer format")
}

func TestEventsEndWithTheFirstLineThatDoesNotFit(t *testing.T) {
	p, want := smallTrail(t)
	q := p.clone()
	q[q.last()][1] = strings.Replace(q[q.last()][1], "checkout", "checkin", 1)
	n := 0
	var failed error
	for e, err := range audit.Events(q.fs(), want) {
		require.NoError(t, failed, "an error is the last")
		if err != nil {
			failed = err
			require.Zero(t, e)
			continue
		}
		n++
	}
	brokenAt(t, failed, q.last(), 2)
	require.Greater(t, n, 5)
	require.Less(t, n, 40)
}
