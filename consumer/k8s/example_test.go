// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s_test

import (
	"fmt"
	"log"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/consumer/k8s"
	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/k8ssecret"
)

// A Deployment and a CronJob that use one password, which lies in a Secret.
func Example() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Print(err) // outside of a cluster
		return
	}
	config.QPS, config.Burst, config.Timeout = 50, 100, 10*time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	secrets, err := k8ssecret.New(k8ssecret.Config{Client: client, Namespace: "payments", Field: "password"})
	if err != nil {
		log.Fatal(err)
	}
	api, err := k8s.NewRollout(k8s.RolloutConfig{Client: client, Namespace: "payments", Name: "api", Credential: "database", Store: secrets})
	if err != nil {
		log.Fatal(err)
	}
	report, err := k8s.NewCronJob(k8s.CronJobConfig{
		Client: client, Namespace: "payments", Name: "report", Credential: "database", Store: secrets, Longest: 2 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	users, err := k8s.NewDiscoverer(k8s.DiscovererConfig{
		Client: client, Secrets: map[string][]k8s.Secret{"database": {{Namespace: "payments", Name: "database"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rotation.Config{
		Store: secrets, Discoverers: []rotation.Discoverer{users},
		Credentials: []rotation.Credential{{
			Name: "database", Type: rotation.Database, // and an Issuer
			Consumers: []rotation.Binding{
				{Name: api.Workload().String(), Consumer: api}, // the names that users finds
				{Name: report.Workload().String(), Consumer: report},
			},
		}},
	})
}

// A Deployment whose Secret the External Secrets Operator copies from another store.
func ExampleNewExternalSecret() {
	restart := func(config *rest.Config, vault rotation.SecretStore) (*k8s.Rollout, error) {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		objects, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		copied, err := k8s.NewExternalSecret(k8s.ExternalSecretConfig{
			Client: client, Dynamic: objects, Namespace: "payments", Name: "database",
			Field: "password", Fields: map[string]string{"user": "username"},
		})
		if err != nil {
			return nil, err
		}
		return k8s.NewRollout(k8s.RolloutConfig{
			Client: client, Namespace: "payments", Name: "api", Credential: "database",
			Store: vault, Before: []rotation.Consumer{copied},
		})
	}
	_ = restart
}
