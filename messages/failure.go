package messages

// Failure says why something that was asked for was not done: for programs the code and the field, for people the message.
type Failure struct {
	Code Code `json:"code"`
	// Field is the dotted path of the field that is wrong, as in "options.variables[0].key". Empty: no single field is.
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

func (f *Failure) Error() string {
	if f.Field == "" {
		return f.Message
	}
	return "field " + f.Field + ": " + f.Message
}
