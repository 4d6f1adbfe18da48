// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/handover-go/handover/secret"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewAndReveal(t *testing.T) {
	for _, s := range []string{"a", canary, "two\nlines\n", "\x00\xff binary", "ünï"} {
		v := secret.New(s)
		assert.Equal(t, s, v.Reveal())
		assert.False(t, v.IsZero())
	}
}

func TestZeroValue(t *testing.T) {
	var v secret.Value
	assert.True(t, v.IsZero())
	assert.True(t, secret.New("").IsZero())
	assert.Empty(t, v.Reveal())
	assert.True(t, v.Equal(secret.New("")))
	assert.False(t, v.Equal(secret.New("a")))
	assert.Equal(t, "[secret]", v.String(), "whether there is a secret is not shown either")
	assert.Equal(t, "[secret]", fmt.Sprint(v))

	_, err := v.MarshalText()
	require.ErrorIs(t, err, secret.ErrMarshal)
	_, err = json.Marshal(v)
	require.ErrorIs(t, err, secret.ErrMarshal)
}

func TestOmitZero(t *testing.T) {
	type answer struct {
		Token secret.Value `json:",omitzero"`
	}
	data, err := json.Marshal(answer{})
	require.NoError(t, err)
	assert.JSONEq(t, `{}`, string(data))
	_, err = json.Marshal(answer{secret.New("a")})
	require.ErrorIs(t, err, secret.ErrMarshal)
}

func TestEqual(t *testing.T) {
	a := secret.New(canary)
	assert.True(t, a.Equal(a))
	assert.True(t, a.Equal(secret.New(canary)))
	for _, other := range []string{"", "a", canary + "x", canary[1:], canary[:len(canary)-1] + "x"} {
		assert.False(t, a.Equal(secret.New(other)), other)
		assert.False(t, secret.New(other).Equal(a), other)
	}
}

func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range []int{16, 17, 32, 64} {
		v := secret.Random(n)
		b, err := hex.DecodeString(v.Reveal())
		require.NoError(t, err)
		assert.Len(t, b, n)
		assert.NotEqual(t, make([]byte, n), b)
		assert.False(t, seen[v.Reveal()[:32]])
		seen[v.Reveal()[:32]] = true
	}
	for _, n := range []int{15, 1, 0, -1} {
		assert.Panics(t, func() { secret.Random(n) }, n)
	}
}

func TestPrintedForms(t *testing.T) {
	v := secret.New(canary)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%z"} {
		assert.Equal(t, "[secret]", fmt.Sprintf(format, v), format)
		assert.Equal(t, "[secret]", fmt.Sprintf(format, &v), format)
	}
	assert.Equal(t, slog.KindString, v.LogValue().Kind())
	assert.Equal(t, "[secret]", v.LogValue().String())
}

func TestUnmarshal(t *testing.T) {
	var answer struct {
		ID    string        `json:"id" xml:"id"`
		Token secret.Value  `json:"token" xml:"token"`
		Next  *secret.Value `json:"next" xml:"next"`
	}
	require.NoError(t, json.Unmarshal([]byte(`{"id":"AK1","token":"`+canary+`","next":"n\u00e9xt"}`), &answer))
	assert.Equal(t, canary, answer.Token.Reveal())
	assert.Equal(t, "néxt", answer.Next.Reveal())

	require.NoError(t, xml.Unmarshal([]byte(`<a><token>`+canary+`2</token></a>`), &answer))
	assert.Equal(t, canary+"2", answer.Token.Reveal())

	require.NoError(t, json.Unmarshal([]byte(`{"token":null}`), &answer))
	assert.Equal(t, canary+"2", answer.Token.Reveal(), "null leaves it, as it does for a string")
	require.NoError(t, json.Unmarshal([]byte(`{"token":""}`), &answer))
	assert.True(t, answer.Token.IsZero())
}

func TestUnmarshalKeepsItsOwnCopy(t *testing.T) {
	text := []byte(canary)
	var v secret.Value
	require.NoError(t, v.UnmarshalText(text))
	text[0] = 'X'
	assert.Equal(t, canary, v.Reveal())
}

func TestUnmarshalErrorsHoldNoSecret(t *testing.T) {
	for _, text := range []string{`{"token":83451267}`, `{"token":["83451267"]}`, `{"token":"83451267`, `{"token":{"a":"83451267"}}`} {
		var answer struct {
			Token secret.Value `json:"token"`
		}
		err := json.Unmarshal([]byte(text), &answer)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "83451267")
	}
}

func TestGobDoesNotRead(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, gob.NewEncoder(&b).Encode(struct{ Token string }{canary}))
	var to struct{ Token secret.Value }
	require.Error(t, gob.NewDecoder(&b).Decode(&to))
	assert.True(t, to.Token.IsZero())
}

func TestConcurrentUse(t *testing.T) {
	v := secret.New(canary)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				assert.Equal(t, canary, v.Reveal())
				assert.True(t, v.Equal(v))
			}
		})
	}
	wg.Wait()
}

func BenchmarkReveal(b *testing.B) {
	v := secret.New(canary)
	b.ReportAllocs()
	for b.Loop() {
		if v.Reveal() == "" {
			b.Fatal("empty")
		}
	}
}

var kept secret.Value // so that the compiler cannot keep it on the stack

func BenchmarkNew(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		kept = secret.New(canary)
	}
}

func BenchmarkEqual(b *testing.B) {
	v, w := secret.New(canary), secret.New(canary)
	b.ReportAllocs()
	for b.Loop() {
		if !v.Equal(w) {
			b.Fatal("not equal")
		}
	}
}
