package k8ssecret
