// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the pictures in docs anew")

// largest is how many bytes a picture may have: it lies in the repository.
const largest = 200_000

// pictures takes the pictures that the documentation shows.
func pictures(b *tab, _ *scene) {
	if !*update {
		b.t.Skip("skipped: without -update no picture is taken")
	}
	for _, p := range []struct {
		name, query   string
		width, height int64
		colours       string
	}{
		{"wide", "", 1280, 1180, "light"},
		{"dark", "", 1280, 1180, "dark"},
		{"phone", "", 360, 1040, "light"},
		{"credential", "?credential=billing-db", 1280, 1000, "light"},
	} {
		b.show(p.query, p.width, p.height, p.colours)
		shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		require.NoError(b.t, err)
		small, err := shrink(shot)
		require.NoError(b.t, err)
		require.Less(b.t, len(small), largest, p.name)
		require.NoError(b.t, os.WriteFile(filepath.Join("..", "..", "..", "docs", "statuspage-"+p.name+".png"), small, 0o644))
	}
}

// shrink writes a picture with 256 colours.
func shrink(data []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	box := from.Bounds()
	often := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			often[at(x, y)]++
		}
	}
	palette, index := pick(often)
	to := image.NewPaletted(box, palette)
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			to.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}

// pick chooses the colours of the palette: the commonest ones, and then again and again the one that lies farthest from those
// chosen, so that a colour of which there is little is there too. It says which stands for each colour.
func pick(often map[color.RGBA]int) (color.Palette, map[color.RGBA]uint8) {
	all := slices.SortedFunc(maps.Keys(often), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(often[b], often[a]), bytes.Compare([]byte{a.R, a.G, a.B}, []byte{b.R, b.G, b.B}))
	})
	var palette color.Palette
	index := map[color.RGBA]uint8{}
	far := make([]int, len(all)) // from the nearest that is chosen
	for i := range far {
		far[i] = 1 << 30
	}
	for next := 0; len(palette) < 256 && far[next] > 0; {
		palette = append(palette, all[next])
		for i, c := range all {
			if d := distance(c, all[next]); d < far[i] {
				far[i], index[c] = d, uint8(len(palette)-1)
			}
		}
		if next++; len(palette) >= 96 || next == len(all) {
			next = slices.Index(far, slices.Max(far))
		}
	}
	return palette, index
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
