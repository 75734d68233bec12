//! The best classes of a photo, through octet's C interface.
//!
//!     rustc classify.rs
//!     ./classify MODEL.octet PHOTO.ppm
//!
//! with octet installed where the linker looks. For one that is installed at PREFIX, add
//! `-L PREFIX/lib -C link-arg=-Wl,-rpath,PREFIX/lib`. PHOTO.ppm is a binary PPM.

use std::ffi::{c_char, c_int, CStr, CString};
use std::{env, fs, process, ptr};

/// What is used here of octet_c.h.
mod ffi {
    use std::ffi::{c_char, c_int};

    #[repr(C)]
    pub struct Model {
        _opaque: [u8; 0],
    }
    #[repr(C)]
    pub struct Session {
        _opaque: [u8; 0],
    }
    /// octet_image, where 0 is the default of a field.
    #[repr(C)]
    pub struct Image {
        pub pixels: *const u8,
        pub width: c_int,
        pub height: c_int,
        pub format: c_int,
        pub row_stride: i64,
        pub chroma: [*const u8; 2],
        pub chroma_stride: i64,
        pub roi: [c_int; 4],
        pub rotation: c_int,
        pub mirror: c_int,
        pub matrix: c_int,
        pub range: c_int,
    }

    #[link(name = "octet")]
    extern "C" {
        pub fn octet_free(message: *mut c_char);
        pub fn octet_model_load(
            path: *const c_char,
            model: *mut *mut Model,
            error: *mut *mut c_char,
        ) -> c_int;
        pub fn octet_model_destroy(model: *mut Model);
        pub fn octet_model_label(model: *const Model, index: c_int) -> *const c_char;
        pub fn octet_session_create(
            model: *const Model,
            num_threads: c_int,
            max_batch: c_int,
            session: *mut *mut Session,
            error: *mut *mut c_char,
        ) -> c_int;
        pub fn octet_session_destroy(session: *mut Session);
        pub fn octet_session_classify(
            session: *mut Session,
            image: *const Image,
            count: c_int,
            indices: *mut c_int,
            probabilities: *mut f32,
            written: *mut c_int,
            error: *mut *mut c_char,
        ) -> c_int;
    }
}

/// Calls what takes a place for a message and returns a status; the message, if it failed.
fn check(call: impl FnOnce(*mut *mut c_char) -> c_int) -> Result<(), String> {
    let mut message = ptr::null_mut();
    if call(&mut message) == 0 {
        return Ok(());
    }
    if message.is_null() {
        return Err("out of memory".to_string());
    }
    // SAFETY: octet gave a string that ends with a null, and the caller frees it.
    unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        ffi::octet_free(message);
        Err(text)
    }
}

/// A model with a session.
pub struct Classifier {
    model: *mut ffi::Model,
    session: *mut ffi::Session,
}

// SAFETY: a session may be used by any thread, by one at a time, which `&mut self` says.
unsafe impl Send for Classifier {}

impl Classifier {
    pub fn new(path: &str, num_threads: i32) -> Result<Self, String> {
        let path = CString::new(path).map_err(|e| e.to_string())?;
        let mut made = Classifier {
            model: ptr::null_mut(),
            session: ptr::null_mut(),
        };
        // SAFETY: pointers to places that live as long as the calls. What was made is destroyed
        // with `made`, also when the second call fails; null is fine.
        unsafe {
            check(|error| ffi::octet_model_load(path.as_ptr(), &mut made.model, error))?;
            check(|error| {
                ffi::octet_session_create(made.model, num_threads, 1, &mut made.session, error)
            })?;
        }
        Ok(made)
    }

    /// (index, label, probability) of the `count` best classes of rows of R G B, best first.
    pub fn classify(
        &mut self,
        rgb: &[u8],
        width: usize,
        height: usize,
        count: usize,
    ) -> Result<Vec<(i32, Option<String>, f32)>, String> {
        if width > 32768 || height > 32768 || rgb.len() != width * height * 3 {
            return Err(format!(
                "found {} bytes, expected {width} x {height} x 3",
                rgb.len()
            ));
        }
        let image = ffi::Image {
            pixels: rgb.as_ptr(),
            width: width as c_int,
            height: height as c_int,
            format: 0,
            row_stride: 0,
            chroma: [ptr::null(); 2],
            chroma_stride: 0,
            roi: [0; 4],
            rotation: 0,
            mirror: 0,
            matrix: 0,
            range: 0,
        };
        let (mut indices, mut probabilities) = (vec![0; count], vec![0.0; count]);
        let mut written = 0;
        // SAFETY: the arrays have `count` elements, and the image as many bytes as its size says.
        check(|error| unsafe {
            ffi::octet_session_classify(
                self.session,
                &image,
                count as c_int,
                indices.as_mut_ptr(),
                probabilities.as_mut_ptr(),
                &mut written,
                error,
            )
        })?;
        let label = |index| {
            // SAFETY: null, or a string that the model owns.
            unsafe {
                let label = ffi::octet_model_label(self.model, index);
                (!label.is_null()).then(|| CStr::from_ptr(label).to_string_lossy().into_owned())
            }
        };
        let found = indices.iter().zip(&probabilities).take(written as usize);
        Ok(found
            .map(|(&index, &probability)| (index, label(index), probability))
            .collect())
    }
}

impl Drop for Classifier {
    fn drop(&mut self) {
        // SAFETY: both are this classifier's own, or null.
        unsafe {
            ffi::octet_session_destroy(self.session);
            ffi::octet_model_destroy(self.model);
        }
    }
}

fn read_ppm(path: &str) -> Result<(Vec<u8>, usize, usize), String> {
    let data = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let mut at = 0;
    let mut word = || {
        while data.get(at).map_or(false, u8::is_ascii_whitespace) {
            at += 1;
        }
        let begin = at;
        while data.get(at).map_or(false, |c| !c.is_ascii_whitespace()) {
            at += 1;
        }
        String::from_utf8_lossy(&data[begin..at]).into_owned()
    };
    let (magic, width, height, maximum) = (word(), word(), word(), word());
    match (
        magic.as_str(),
        width.parse::<u16>(),
        height.parse::<u16>(),
        maximum.as_str(),
    ) {
        ("P6", Ok(width), Ok(height), "255") => {
            let (width, height) = (width as usize, height as usize);
            let rgb = data.get(at + 1..at + 1 + width * height * 3);
            let rgb = rgb.ok_or(format!("{path} is truncated"))?;
            Ok((rgb.to_vec(), width, height))
        }
        _ => Err(format!("{path} is not a binary PPM file")),
    }
}

fn run(model: &str, photo: &str) -> Result<(), String> {
    let (rgb, width, height) = read_ppm(photo)?;
    let mut classifier = Classifier::new(model, 1)?;
    for (index, label, probability) in classifier.classify(&rgb, width, height, 3)? {
        println!(
            "{:<12} {probability:.3}",
            label.unwrap_or(index.to_string())
        );
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.len() != 3 {
        eprintln!("usage: classify MODEL.octet PHOTO.ppm");
        process::exit(2);
    }
    if let Err(problem) = run(&arguments[1], &arguments[2]) {
        eprintln!("classify: {problem}");
        process::exit(1);
    }
}
