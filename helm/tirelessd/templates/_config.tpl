{{/* tirelessd.yaml: what values say, and what only the chart can know. */}}
{{- define "tirelessd.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.upstream.url -}}
{{- $handler := dict "type" "http" "url" .Values.upstream.url -}}
{{- $queue := dict "handler" $handler "slots" .Values.upstream.slots -}}
{{- $_ := set $config "queues" (merge (dict .Values.upstream.queue $queue) ($config.queues | default dict)) -}}
{{- end -}}
{{- if not (get $config "auth") -}}{{- $_ := set $config "auth" "none" -}}{{- end -}}
{{- $_ := set $config "store" (include "tirelessd.store" . | fromYaml).store -}}
{{- if eq (include "tirelessd.migrates" .) "true" -}}
{{- $_ := set $config "store_postgresql" (merge (dict) ($config.store_postgresql | default dict) (dict "migrate_at_start" false)) -}}
{{- end -}}
{{- $_ := set $config "api" (dict "host" "0.0.0.0" "port" 8080) -}}
{{- $_ := set $config "ops" (dict "host" "0.0.0.0" "port" (int .Values.ops.port) "last_scrape_seconds" .Values.ops.lastScrapeSeconds) -}}
{{- $_ := set $config "pre_drain_seconds" .Values.preDrainSeconds -}}
{{- $_ := set $config "drain_seconds" .Values.drainSeconds -}}
{{- range $key, $value := $config -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $config $key -}}{{- end -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- define "tirelessd.store" -}}
{{- if .Values.store.postgresql.secret.name -}}
store: {file: {{ printf "/etc/tirelessd/store/%s" .Values.store.postgresql.secret.key | quote }}}
{{- else -}}
store: {{ default "sqlite:///var/lib/tirelessd/tirelessd.db" .Values.store.postgresql.url | quote }}
{{- end -}}
{{- end -}}

{{/* "true" where a Job brings the schema up before there are pods. */}}
{{- define "tirelessd.migrates" -}}
{{- and (eq (include "tirelessd.shape" .) "postgresql") .Values.store.postgresql.migration.enabled -}}
{{- end -}}

{{/* The Secret with the URL that the Job uses. */}}
{{- define "tirelessd.migrationSecret" -}}
{{- $postgresql := .Values.store.postgresql -}}
{{- ternary $postgresql.migration.secret $postgresql.secret (not (empty $postgresql.migration.secret.name)) | toYaml -}}
{{- end -}}

{{/* tirelessd.yaml of that Job: that of the pods, but for a URL of its own. */}}
{{- define "tirelessd.migrationConfig" -}}
{{- $config := include "tirelessd.config" . | fromYaml -}}
{{- if .Values.store.postgresql.migration.secret.name -}}
{{- $_ := set $config "store" (dict "file" (printf "/etc/tirelessd/store/%s" .Values.store.postgresql.migration.secret.key)) -}}
{{- $_ := unset $config.store_postgresql "direct_url" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* The seconds between the signal to stop and the one that nothing survives. */}}
{{- define "tirelessd.grace" -}}
{{- $least := addf .Values.preDrainSeconds .Values.drainSeconds .Values.ops.lastScrapeSeconds 5 | ceil | int -}}
{{- $wanted := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $wanted -}}
{{- $least -}}
{{- else if lt (int $wanted) $least -}}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short: pods would be killed while they drain. It takes preDrainSeconds + drainSeconds + ops.lastScrapeSeconds + 5 = %d; leave it out to have that." (int $wanted) $least) -}}
{{- else -}}
{{- int $wanted -}}
{{- end -}}
{{- end -}}

{{/* What a schema cannot say. Each message begins with the value that is wrong. */}}
{{- define "tirelessd.check" -}}
{{- range $name := list "store" "api" "ops" "pre_drain_seconds" "drain_seconds" -}}
{{- if hasKey $.Values.config $name -}}
{{- fail (printf "config.%s: is set by the chart, from values of its own; see README.md." $name) -}}
{{- end -}}
{{- end -}}
{{- $postgresql := eq (include "tirelessd.shape" .) "postgresql" -}}
{{- if and (not .Values.upstream.url) (not .Values.config.queues) -}}
{{- fail "upstream.url: is missing: give the URL that items are POSTed to, or describe queues under config.queues." -}}
{{- end -}}
{{- if and .Values.upstream.url (hasKey (.Values.config.queues | default dict) .Values.upstream.queue) -}}
{{- fail (printf "upstream.queue: %q stands under config.queues too; give one of the two another name." .Values.upstream.queue) -}}
{{- end -}}
{{- if and .Values.store.postgresql.url .Values.store.postgresql.secret.name -}}
{{- fail "store.postgresql.url: stands beside store.postgresql.secret; keep one of the two." -}}
{{- end -}}
{{- /* In front of the host, whatever characters it has, or among the options behind the path. */ -}}
{{- if regexMatch "(?i)^[^/]*//[^@]*:.*@|[?&](ssl)?password=" .Values.store.postgresql.url -}}
{{- fail "store.postgresql.url: has a password, which would be readable in a ConfigMap; put the URL into a Secret and name that under store.postgresql.secret." -}}
{{- end -}}
{{- if and (not $postgresql) (gt (int .Values.replicas) 1) -}}
{{- fail (printf "replicas: %d pods cannot share an embedded store, and callers would find their items on one of them only. Use store.postgresql, or install the chart once for each pod." (int .Values.replicas)) -}}
{{- end -}}
{{- if and (not $postgresql) .Values.split.enabled -}}
{{- fail "split.enabled: an embedded store cannot be split between pods; use store.postgresql." -}}
{{- end -}}
{{- if eq (int .Values.ops.port) 8080 -}}
{{- fail "ops.port: 8080 is where the pod's API listens; take another one." -}}
{{- end -}}
{{- range $label := list "name" "instance" "component" -}}
{{- if hasKey $.Values.podLabels (printf "app.kubernetes.io/%s" $label) -}}
{{- fail (printf "podLabels: app.kubernetes.io/%s is what Services find pods by; use a label of your own." $label) -}}
{{- end -}}
{{- end -}}
{{- include "tirelessd.checkHeaders" (dict "at" "config.tracing" "of" .Values.config.tracing) -}}
{{- range $name, $queue := .Values.config.queues -}}
{{- include "tirelessd.checkHeaders" (dict "at" (printf "config.queues.%s.handler" $name) "of" (get ($queue | default dict) "handler" | default dict)) -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: is empty: name at least one host." -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: is empty: name the gateway that the route belongs to." -}}
{{- end -}}
{{- end -}}

{{/* No credential in the clear: {"at": where, "of": what may have headers}. */}}
{{- define "tirelessd.checkHeaders" -}}
{{- $at := .at -}}
{{- range $name, $value := (get (.of | default dict) "headers" | default dict) -}}
{{- if and (kindIs "string" $value) (regexMatch "(?i)authorization|cookie|token|secret|password|api-?key" $name) -}}
{{- fail (printf "%s.headers.%s: would be readable in a ConfigMap; put it into a Secret, name that under secrets, and give {file: /etc/tirelessd/secrets/NAME/KEY} here." $at $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
