// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package awssecrets_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/stretchr/testify/require"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
	"github.com/handover-go/handover/store/awssecrets"
	"github.com/handover-go/handover/store/awssecrets/internal/fakesm"
)

// readers find what services at AWS find, which know nothing of this library: GetSecretValue without a stage.
func readers(c *secretsmanager.Client, prefix, field string) func(context.Context, string) (secret.Value, error) {
	return func(ctx context.Context, name string) (secret.Value, error) {
		name = prefix + name
		out, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
		if err != nil {
			return secret.Value{}, err
		}
		text := aws.ToString(out.SecretString)
		if field == "" {
			return secret.New(text), nil
		}
		var fields map[string]string
		err = json.Unmarshal([]byte(text), &fields)
		return secret.New(fields[field]), err
	}
}

func TestStoreSuite(t *testing.T) {
	server := httptest.NewServer(&fakesm.Server{})
	t.Cleanup(server.Close)
	over := clientOf(nil, server.URL)
	for name, c := range map[string]struct {
		change func(*awssecrets.Config)
		field  string
	}{
		"text": {func(*awssecrets.Config) {}, ""},
		"JSON": {inJSON, "password"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakesm.Server{}
			rotationtest.StoreSuite{Store: open(t, fake, c.change), Name: "suite/db", Current: readers(clientOf(fake, ""), "", c.field)}.Run(t)
		})
		t.Run(name+" over a network", func(t *testing.T) {
			s := open(t, nil, c.change, func(cfg *awssecrets.Config) { cfg.Client = over })
			rotationtest.StoreSuite{Store: s, Name: "suite/" + name, Current: readers(over, "", c.field)}.Run(t)
		})
	}
	t.Run("as it is run with an endpoint", func(t *testing.T) { suiteAt(t, over) })
}

func TestSimulate(t *testing.T) {
	for name, change := range map[string]func(*awssecrets.Config){"text": func(*awssecrets.Config) {}, "JSON": inJSON} {
		t.Run(name, func(t *testing.T) {
			rotationtest.Simulate(t, rotationtest.Simulation{
				Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) {
					return open(t, &fakesm.Server{}, change), nil
				},
				Sample: 12,
			})
		})
	}
}

// quiet hides Names: at AWS a list may be five minutes behind.
type quiet struct{ rotation.SecretStore }

func (quiet) Conditional() bool { return true }

// suiteAt leaves secrets named handover-suite-..., without keys: delete them when you like.
func suiteAt(t *testing.T, client *secretsmanager.Client) {
	prefix := "handover-suite-" + secret.Random(16).Reveal()[:8] + "/"
	s, err := awssecrets.New(awssecrets.Config{Client: client, Prefix: prefix})
	require.NoError(t, err)
	rotationtest.StoreSuite{Store: quiet{s}, Name: "db", Current: readers(client, prefix, "")}.Run(t)
}

func TestLiveStoreSuite(t *testing.T) { suiteAt(t, live(t)) }

func TestLiveSimulate(t *testing.T) {
	client := live(t)
	prefix := "handover-suite-" + secret.Random(16).Reveal()[:8] + "/"
	rotationtest.Simulate(t, rotationtest.Simulation{
		Store: func(context.Context, *rotationtest.World) (rotation.SecretStore, error) {
			return awssecrets.New(awssecrets.Config{Client: client, Prefix: prefix})
		},
		RealClock: true, CallTimeout: 5 * time.Second, Sample: 1,
	})
}
