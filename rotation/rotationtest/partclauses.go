// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
)

// comparing proves a Conditional that does not have to be one.
func comparing(part any) error {
	c, ok := rotation.As[rotation.Conditional](part)
	if !ok {
		return skip("not Conditional")
	}
	if !c.Conditional() {
		return errors.New("says false: rotation.New refuses what does not compare revisions")
	}
	return nil
}

// identityKept proves an Identifier.
func identityKept(part any, secrets []secret.Value) error {
	i, ok := rotation.As[rotation.Identifier](part)
	if !ok {
		return skip("not an Identifier")
	}
	name := i.Identity()
	switch {
	case strings.TrimSpace(name) == "":
		return errors.New("Identity is empty")
	case i.Identity() != name:
		return errors.New("Identity is another one each time")
	case leaks(errors.New(name), secrets):
		return errors.New("Identity carries a secret; it is withheld")
	}
	return nil
}

// readyToWork proves a Validator and a Checker of something that works.
func readyToWork(ctx context.Context, part any, secrets []secret.Value) error {
	v, validates := rotation.As[rotation.Validator](part)
	c, checks := rotation.As[rotation.Checker](part)
	if !validates && !checks {
		return skip("neither a Validator nor a Checker")
	}
	for range 2 { // asking changes nothing
		if validates {
			if err := v.Validate(); err != nil {
				return withheld("Validate", err, secrets)
			}
		}
		if checks {
			if err := c.Check(ctx); err != nil {
				return withheld("Check", err, secrets)
			}
		}
	}
	return nil
}

// withheld is err with what was tried, or without its text if that would show a secret.
func withheld(what string, err error, secrets []secret.Value) error {
	if leaks(err, secrets) {
		return fmt.Errorf("%s: the error carries a secret; its text is withheld", what)
	}
	return fmt.Errorf("%s: %w", what, err)
}
