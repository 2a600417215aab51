package figures

import (
	"fmt"
	"strconv"
)

// CloudPlan compares `terraform plan` by the stock CLI: in a folder, and with the server as its cloud. In seconds.
type CloudPlan struct {
	Resources    int
	Bare, Gantry Sample
}

// cloudPauses is how long the CLI sleeps in a plan that the server carries out at once, in seconds: half a second before it
// first asks whether its configuration arrived and one before it first asks for the run (planConfigurationVersionsPollInterval
// and backoffMin in its package internal/cloud). The server plans meanwhile.
const cloudPauses = 1.5

// maxCloudShare is how much of the whole may be neither the CLI's pauses nor, by the bare CLI's measure, terraform itself.
const maxCloudShare = 0.15

// rest is what is not the CLI's pauses, in seconds, by the medians.
func (c CloudPlan) rest() float64 { return c.Gantry.Median() - cloudPauses }

func (c CloudPlan) gate() Gate {
	return Gate{
		Name:  fmt.Sprintf("terraform plan through the cloud block, %d × terraform_data, without the CLI's pauses", c.Resources),
		Ratio: c.rest() / c.Gantry.Median(), Limit: maxCloudShare, Of: "the whole",
	}
}

func (r Report) cloud() Table {
	t := Table{
		Title: "terraform plan through the cloud block",
		Note: fmt.Sprintf("The stock CLI over HTTPS, in an initialized folder, against the same command without the `cloud` block. The CLI sleeps for %.1f s in each plan, "+
			"however fast the server is: half a second before it asks whether its configuration arrived, one before it first asks for the run, which is planned meanwhile. "+
			"What is left are the start of the CLI, about twenty requests, and what the plan took longer than that. Seconds, median (min–max).", cloudPauses),
		Header: []string{"terraform_data", "times", "bare CLI s", "cloud block s", "ratio", "the CLI's pauses s", "rest s", "rest of the whole", "limit", "gate"},
	}
	for _, c := range r.Cloud {
		g := c.gate()
		t.Rows = append(t.Rows, []string{
			strconv.Itoa(c.Resources), strconv.Itoa(len(c.Gantry)), c.Bare.Show(3), c.Gantry.Show(3), fmt.Sprintf("%.2f", Ratio(c.Gantry, c.Bare)),
			fmt.Sprintf("%.1f", cloudPauses), fmt.Sprintf("%.3f", c.rest()), fmt.Sprintf("%.0f %%", 100*g.Ratio), g.Bound(), g.Verdict(),
		})
	}
	return t
}
