package k8s

// Prefix is that of our labels, annotations and gates.
const Prefix = "gantry.example/"

// Labels of our Pods. A user cannot set them. LabelPool alone selects the Pods of a dispatcher.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by" // ManagedBy
	LabelComponent = "app.kubernetes.io/component"  // ComponentRunner
	LabelPool      = Prefix + "pool"
	LabelAttempt   = Prefix + "attempt"
	LabelTask      = Prefix + "task"
	LabelRun       = Prefix + "run"
	LabelWorkspace = Prefix + "workspace"
	LabelTenant    = Prefix + "organization"
	LabelPhase     = Prefix + "phase"

	ManagedBy       = "gantry-dispatcher"
	ComponentRunner = "runner"
)

// Annotations of our Pods.
const (
	AnnotationSpecHash = Prefix + "spec-hash"       // of the Pod as it was built: the same attempt built again is the same Pod
	AnnotationTrace    = Prefix + "traceparent"     // of the run, if it has one
	AnnotationReported = Prefix + "reported"        // when the exit was reported, RFC 3339; set by the executor
	AnnotationReason   = Prefix + "deletion-reason" // why we delete the Pod, a Verdict in JSON; set by the executor
)

// Gate keeps a Pod from being scheduled before its ConfigMap and Secret exist.
const Gate = Prefix + "inputs"

// Containers and volumes of a Pod.
const (
	ContainerRunner  = "runner"
	ContainerProgram = "program" // the init container that brings the runner's program

	VolumeProgram    = "gantry-program"    // emptyDir
	VolumeInputs     = "gantry-inputs"     // ConfigMap of the Pod's name, read-only
	VolumeAssignment = "gantry-assignment" // Secret of the Pod's name, read-only, 0400
	VolumeWork       = "gantry-work"       // emptyDir
	VolumeTmp        = "gantry-tmp"        // emptyDir on /tmp, because the root file system is read-only
)

// Paths in a Pod.
const (
	PathProgram    = "/gantry/bin"
	PathInputs     = "/gantry/inputs"
	PathAssignment = "/gantry/assignment"
	PathWork       = "/gantry/work"
	PathTmp        = "/tmp"
)

// Keys of the ConfigMap and the Secret.
const (
	KeyConfiguration = "configuration.tar.gz" // left out if it is too large: the runner then downloads it
	KeyDigest        = "configuration.sha256" // of it, in hex
	KeyAssignment    = "assignment.json"      // runner.Assignment without the values of variables, which the runner asks for
	FileAssignment   = PathAssignment + "/" + KeyAssignment
	FileTermination  = "/dev/termination-log"
	PodPrefix        = "gantry-" // a Pod, its ConfigMap and its Secret are named by it and the attempt's id
)

// PodName is the name of an attempt's Pod, ConfigMap and Secret. Ids are lower case and short enough for a DNS label.
func PodName(attemptID string) string { return PodPrefix + attemptID }
