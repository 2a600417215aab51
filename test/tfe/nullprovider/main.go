// The program nullprovider stands in for the provider hashicorp/null, which the configurations of go-tfe's tests name: its
// one resource remembers its triggers and has a random id. It is for tests only; test/e2e puts it into a filesystem mirror.
package main

import (
	"context"
	"crypto/rand"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/mapplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func main() {
	err := providerserver.Serve(context.Background(), func() provider.Provider { return null{} },
		providerserver.ServeOpts{Address: "registry.terraform.io/hashicorp/null", ProtocolVersion: 5})
	if err != nil {
		log.Fatal(err)
	}
}

type null struct{}

func (null) Metadata(_ context.Context, _ provider.MetadataRequest, out *provider.MetadataResponse) {
	out.TypeName = "null"
}
func (null) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse)          {}
func (null) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}
func (null) DataSources(context.Context) []func() datasource.DataSource                        { return nil }
func (null) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return nullResource{} }}
}

// nullResource is the resource null_resource.
type nullResource struct{}

type content struct {
	ID       types.String `tfsdk:"id"`
	Triggers types.Map    `tfsdk:"triggers"`
}

func (nullResource) Metadata(_ context.Context, _ resource.MetadataRequest, out *resource.MetadataResponse) {
	out.TypeName = "null_resource"
}

func (nullResource) Schema(_ context.Context, _ resource.SchemaRequest, out *resource.SchemaResponse) {
	out.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"id": schema.StringAttribute{Computed: true, PlanModifiers: []planmodifier.String{stringplanmodifier.UseStateForUnknown()}},
		"triggers": schema.MapAttribute{Optional: true, ElementType: types.StringType,
			PlanModifiers: []planmodifier.Map{mapplanmodifier.RequiresReplace()}},
	}}
}

func (nullResource) Create(ctx context.Context, in resource.CreateRequest, out *resource.CreateResponse) {
	var c content
	out.Diagnostics.Append(in.Plan.Get(ctx, &c)...)
	c.ID = types.StringValue(rand.Text())
	out.Diagnostics.Append(out.State.Set(ctx, c)...)
}

func (nullResource) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (nullResource) Update(_ context.Context, in resource.UpdateRequest, out *resource.UpdateResponse) {
	out.State.Raw = in.Plan.Raw
}

func (nullResource) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
