//! Functions without a frame.
//!
//! Cranelift gives every function on x86-64 a frame pointer, also those that keep nothing on the stack. Pushing and
//! popping it costs a kernel of a few nanoseconds a tenth of its time, so such functions are entered behind it.

/// `push rbp; mov rbp, rsp`
const PROLOGUE: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
/// `mov rsp, rbp; pop rbp; ret`
const EPILOGUE: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];
/// `ret`, and traps that nothing reaches.
const RETURN: [u8; 5] = [0xc3, 0xcc, 0xcc, 0xcc, 0xcc];

/// Takes the frame out of a function with one exit that neither calls nor reads or writes the stack. Returns where it is
/// entered from now on: at 0, and the code unchanged, where it does not look as expected or the machine is another one.
pub(super) fn leave_out(code: &mut [u8]) -> usize {
    if !cfg!(target_arch = "x86_64") || !code.starts_with(&PROLOGUE) {
        return 0;
    }
    let mut exits = code.windows(EPILOGUE.len()).enumerate().filter(|(_, bytes)| *bytes == EPILOGUE);
    let (Some((exit, _)), None) = (exits.next(), exits.next()) else { return 0 };
    code[exit..exit + RETURN.len()].copy_from_slice(&RETURN);
    PROLOGUE.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_frame_out_of_code_with_one_exit() {
        let body = [0x0f, 0x57, 0xc0];
        let mut code = [&PROLOGUE[..], &body, &EPILOGUE, &[1, 2, 3]].concat();
        assert_eq!(leave_out(&mut code), if cfg!(target_arch = "x86_64") { 4 } else { 0 });
        if cfg!(target_arch = "x86_64") {
            assert_eq!(code, [&PROLOGUE[..], &body, &RETURN, &[1, 2, 3]].concat());
        }
    }

    #[test]
    fn leaves_other_code_as_it_is() {
        let two_exits = [&PROLOGUE[..], &EPILOGUE, &EPILOGUE].concat();
        let no_frame = [&[0x90], &EPILOGUE[..]].concat();
        let no_exit = PROLOGUE.to_vec();
        for code in [two_exits, no_frame, no_exit] {
            let mut changed = code.clone();
            assert_eq!((leave_out(&mut changed), &changed), (0, &code));
        }
    }
}
