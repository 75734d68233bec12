// The best classes of a photo, through octet's C interface.
//
//	go build classify.go
//	./classify MODEL.octet PHOTO.ppm
//
// with octet installed where the C compiler looks. For one that is installed at PREFIX, set
// CGO_CFLAGS=-IPREFIX/include and CGO_LDFLAGS="-LPREFIX/lib -Wl,-rpath,PREFIX/lib". PHOTO.ppm is a
// binary PPM.
package main

/*
#cgo LDFLAGS: -loctet
#include <stdlib.h>
#include <octet/octet_c.h>
*/
import "C"

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"unsafe"
)

// check makes an error of what an octet function returned, and frees its message.
func check(status C.octet_status, message *C.char) error {
	if status == C.OCTET_OK {
		return nil
	}
	if message == nil {
		return errors.New("out of memory")
	}
	defer C.octet_free(message)
	return errors.New(C.GoString(message))
}

// Classifier is a model with a session, for one goroutine at a time.
type Classifier struct {
	model   *C.octet_model
	session *C.octet_session
}

// NewClassifier loads the model at path.
func NewClassifier(path string, threads int) (*Classifier, error) {
	c := &Classifier{}
	// What C makes is kept in variables of the stack, as C must not write pointers into Go's heap.
	name := append([]byte(path), 0)
	var model *C.octet_model
	var session *C.octet_session
	var message *C.char
	status := C.octet_model_load((*C.char)(unsafe.Pointer(&name[0])), &model, &message)
	if err := check(status, message); err != nil {
		return nil, err
	}
	status = C.octet_session_create(model, C.int(threads), 1, &session, &message)
	if err := check(status, message); err != nil {
		C.octet_model_destroy(model)
		return nil, err
	}
	c.model, c.session = model, session
	return c, nil
}

// Close gives everything back.
func (c *Classifier) Close() {
	C.octet_session_destroy(c.session)
	C.octet_model_destroy(c.model)
}

// Prediction is a class and its probability.
type Prediction struct {
	Index       int
	Label       string // Empty when the model has none.
	Probability float32
}

// Classify returns the best classes of rows of R G B, best first.
func (c *Classifier) Classify(rgb []byte, width, height, count int) ([]Prediction, error) {
	if width < 1 || height < 1 || len(rgb) != width*height*3 {
		return nil, fmt.Errorf("found %d bytes, expected %d x %d x 3", len(rgb), width, height)
	}
	// A struct in Go's memory may not hold a pointer to Go's memory when C is given it: the pixels
	// go to C's.
	pixels := C.CBytes(rgb)
	defer C.free(pixels)
	image := C.octet_image{pixels: (*C.uint8_t)(pixels), width: C.int(width), height: C.int(height)}
	indices, probabilities := make([]C.int, count), make([]C.float, count)
	var written C.int
	var message *C.char
	status := C.octet_session_classify(c.session, &image, C.int(count), &indices[0],
		&probabilities[0], &written, &message)
	runtime.KeepAlive(c)
	if err := check(status, message); err != nil {
		return nil, err
	}
	found := make([]Prediction, written)
	for i := range found {
		found[i] = Prediction{Index: int(indices[i]), Probability: float32(probabilities[i])}
		if label := C.octet_model_label(c.model, indices[i]); label != nil {
			found[i].Label = C.GoString(label)
		}
	}
	return found, nil
}

func readPPM(path string) (rgb []byte, width, height int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, 0, err
	}
	defer file.Close()
	in := bufio.NewReader(file)
	var magic string
	var maximum int
	if _, err := fmt.Fscan(in, &magic, &width, &height, &maximum); err != nil || magic != "P6" ||
		maximum != 255 || width < 1 || height < 1 || width > 32768 || height > 32768 {
		return nil, 0, 0, fmt.Errorf("%s is not a binary PPM file", path)
	}
	if _, err := in.ReadByte(); err != nil { // What ends the header.
		return nil, 0, 0, fmt.Errorf("%s is truncated", path)
	}
	rgb = make([]byte, width*height*3)
	if _, err := io.ReadFull(in, rgb); err != nil {
		return nil, 0, 0, fmt.Errorf("%s is truncated", path)
	}
	return rgb, width, height, nil
}

func run(model, photo string) error {
	rgb, width, height, err := readPPM(photo)
	if err != nil {
		return err
	}
	classifier, err := NewClassifier(model, 1)
	if err != nil {
		return err
	}
	defer classifier.Close()
	top, err := classifier.Classify(rgb, width, height, 3)
	if err != nil {
		return err
	}
	for _, p := range top {
		name := p.Label
		if name == "" {
			name = strconv.Itoa(p.Index)
		}
		fmt.Printf("%-12s %.3f\n", name, p.Probability)
	}
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: classify MODEL.octet PHOTO.ppm")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "classify:", err)
		os.Exit(1)
	}
}
