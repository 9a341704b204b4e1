// requests_futures from Go, by cgo: a call that waits in its goroutine, and ends when its context does.
package main

/*
#cgo LDFLAGS: -lrequests_futures
#include <requests_futures.h>
#include <stdlib.h>

extern void goDone(rf_future *future, void *user_data);
extern rf_status goHook(rf_hook_call *call, rf_response *response, void *user_data);
extern void goDrop(void *user_data);

// A handle of Go's is a number, which travels in the place of a pointer.
static inline rf_status add_done(rf_future *future, uintptr_t handle) {
  return rf_future_add_done_callback(future, goDone, (void *)handle, goDrop);
}
static inline rf_status add_hook(rf_options *options, uintptr_t handle) {
  return rf_options_add_hook(options, (rf_hook_fn)goHook, (void *)handle, goDrop);
}
*/
import "C"

import (
	"context"
	"errors"
	"runtime"
	"runtime/cgo"
	"time"
	"unsafe"
)

// Error is what a request failed with.
type Error struct{ Kind, Message, URL string }

func (e *Error) Error() string { return e.Message }

// Response is what the server answered.
type Response struct {
	StatusCode  int
	ContentType string
	Content     []byte
}

// Hook sees each response on its way, on a thread of the library's. An error fails the request.
type Hook func(*Response) error

// Session is what requests share. Any goroutine may use it.
type Session struct{ raw *C.rf_session }

func check(status C.rf_status) error {
	if status == C.RF_OK {
		return nil
	}
	return errors.New(C.GoString(C.rf_status_name(C.int(status))))
}

// NewSession makes a session that runs so many requests at once, on one event loop.
func NewSession(atOnce int) (*Session, error) {
	var loop *C.rf_executor
	var config *C.rf_config
	session := &Session{}
	if err := check(C.rf_executor_new_events(C.size_t(atOnce), 4, &loop)); err != nil {
		return nil, err
	}
	defer C.rf_executor_free(loop)
	if err := check(C.rf_config_new(&config)); err != nil {
		return nil, err
	}
	defer C.rf_config_free(config)
	if err := check(C.rf_config_set_executor(config, loop)); err != nil {
		return nil, err
	}
	runtime.SetFinalizer(session, func(s *Session) { C.rf_session_free(s.raw) })
	return session, check(C.rf_session_new(config, &session.raw))
}

// Get waits for the response. When the context ends the request is aborted, and its error is that of the context.
func (s *Session) Get(ctx context.Context, url string, hooks ...Hook) (*Response, error) {
	var options *C.rf_options
	if err := check(C.rf_options_new(&options)); err != nil {
		return nil, err
	}
	defer C.rf_options_free(options)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline).Milliseconds()
		if left <= 0 {
			return nil, context.DeadlineExceeded
		}
		C.rf_options_set_deadline(options, C.int64_t(left))
	}
	for _, hook := range hooks {
		C.add_hook(options, C.uintptr_t(cgo.NewHandle(hook)))
	}
	name := C.CString(url)
	defer C.free(unsafe.Pointer(name))
	var future *C.rf_future
	if err := check(C.rf_session_get(s.raw, name, options, &future)); err != nil {
		return nil, err
	}
	defer C.rf_future_free(future)
	runtime.KeepAlive(s)
	done := make(chan struct{})
	if err := check(C.add_done(future, C.uintptr_t(cgo.NewHandle(done)))); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		C.rf_future_abort(future)
		<-done
	}
	var response *C.rf_response
	if C.rf_future_result(future, 0, &response) == C.RF_OK {
		return copied(response), nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var why *C.rf_error
	C.rf_future_exception(future, 0, &why)
	kind := C.rf_error_kind_name(C.rf_error_kind_of(why))
	return nil, &Error{C.GoString(kind), C.GoString(C.rf_error_message(why)), C.GoString(C.rf_error_url(why))}
}

// Close aborts what runs, and returns when no function of Go's will be called any more.
func (s *Session) Close() error { return check(C.rf_session_close(s.raw, C.RF_CLOSE_ABORT)) }

func copied(response *C.rf_response) *Response {
	var length C.size_t
	content := C.rf_response_content(response, &length)
	name := C.CString("Content-Type")
	defer C.free(unsafe.Pointer(name))
	return &Response{
		StatusCode:  int(C.rf_response_status_code(response)),
		ContentType: C.GoString(C.rf_response_header(response, name)),
		Content:     C.GoBytes(unsafe.Pointer(content), C.int(length)),
	}
}

//export goDone
func goDone(_ *C.rf_future, userData unsafe.Pointer) {
	close(cgo.Handle(uintptr(userData)).Value().(chan struct{}))
}

//export goHook
func goHook(call *C.rf_hook_call, response *C.rf_response, userData unsafe.Pointer) C.rf_status {
	hook := cgo.Handle(uintptr(userData)).Value().(Hook)
	if err := hook(copied(response)); err != nil {
		message := C.CString(err.Error())
		defer C.free(unsafe.Pointer(message))
		return C.rf_hook_fail(call, message)
	}
	return C.RF_OK
}

//export goDrop
func goDrop(userData unsafe.Pointer) { cgo.Handle(uintptr(userData)).Delete() }
