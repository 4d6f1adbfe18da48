// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8ssecret_test

import (
	"fmt"
	"log"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/store/k8ssecret"
)

// A service in a cluster keeps a database's password where its pods read it.
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
	secrets, err := k8ssecret.New(k8ssecret.Config{
		Client: client, Namespace: "payments",
		Field: "password", Fields: map[string]string{"user": "username"},
		Names: map[string]string{"payments/database": "database"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rotation.Config{Store: secrets})
}
